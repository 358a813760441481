"""SoftmaxWithLoss: -log softmax(x)[label] summed over positions, divided by a normalizer.

Bottoms: scores, and integer labels of the same shape without the class axis (softmax_param.axis,
default 1). Honours loss_param: normalization (default VALID: the number of positions that do not
carry ignore_label), normalize, ignore_label.  The loss is cut at -log(FLT_MIN).  The gradient uses
the probabilities of the last forward, and the labels as they are.  A second top (the probabilities)
is refused: in this version of Caffe its loss weight fails a check.
"""

import math

import torch

from caffe import log
from caffe.layer import Layer, register
from caffe.layer_parts import loss_normalization
from caffe.proto import caffe_pb2

FLT_MIN = torch.finfo(torch.float32).tiny


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def setup(self, shapes):
        log.info(
            "layer_factory.hpp:77", f"Creating layer {self.name}"
        )  # Caffe's makes a Softmax layer of the same name inside
        self.mode = loss_normalization.mode(self.param.loss_param, caffe_pb2.LossParameter.VALID)

    def reshape(self, shapes):
        scores, labels = shapes
        self.along = self.axis(self.param.softmax_param.axis, scores)
        positions = math.prod(scores) // max(1, scores[self.along])
        if positions != math.prod(labels):
            self.fail(
                f"scores {scores} have {positions} positions, there are {math.prod(labels)} labels {labels}"
            )
        return [()]

    def allow_force_backward(self, index):
        return index != 1

    def forward(self, scores, labels):
        classes = scores.shape[self.along]
        batch = math.prod(scores.shape[: self.along])
        logs = torch.log_softmax(scores, self.along).movedim(self.along, -1).reshape(-1, classes)
        if self.keeps:
            self.remember(probabilities=logs.detach().exp())
        labels, keep = self._labels(labels, classes)
        picked = logs.gather(1, labels.clamp(0, classes - 1)[:, None])[:, 0]
        # the cut changes the value only: Caffe's gradient is softmax - 1 also below it
        losses = -(picked + (picked.clamp(min=math.log(FLT_MIN)) - picked).detach())
        total = torch.where(keep, losses, torch.zeros_like(losses)).sum()
        return total / loss_normalization.normalizer(self.mode, labels.numel(), keep.sum(), batch)

    def _labels(self, labels, classes):
        """Labels (P,) as integers, and which of them count."""
        labels = labels.detach().reshape(-1).long()
        keep = torch.ones_like(labels, dtype=torch.bool)
        if self.param.loss_param.HasField("ignore_label"):
            keep = labels != self.param.loss_param.ignore_label
        wrong = keep & ((labels < 0) | (labels >= classes))
        if wrong.device.type == "cpu" and wrong.any():
            self.fail(f"label {int(labels[wrong][0])} is outside 0..{classes - 1}")
        return labels, keep

    def backward(self, bottoms, tops, diffs, needs):
        scores, labels = bottoms
        classes = scores.shape[self.along]
        rows = scores.movedim(self.along, -1).shape
        count = math.prod(rows[:-1])
        labels, keep = self._labels(labels, classes)
        probabilities = self.recall("probabilities", (count, classes))
        grad = probabilities.scatter_add(
            1, labels.clamp(0, classes - 1)[:, None], -scores.new_ones(count, 1)
        )
        batch = math.prod(scores.shape[: self.along])
        scale = diffs[0].sum() / loss_normalization.normalizer(self.mode, count, keep.sum(), batch)
        grad = torch.where(keep[:, None], grad * scale, torch.zeros_like(grad))
        return [grad.view(rows).movedim(-1, self.along), None]
