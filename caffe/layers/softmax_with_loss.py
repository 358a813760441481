"""SoftmaxWithLoss: -log softmax(x)[label] summed over positions, divided by a normalizer.

Bottoms: scores, and integer labels of the same shape without the class axis (softmax_param.axis,
default 1).  Honours loss_param: normalization (default VALID: the number of positions without
ignore_label), normalize, ignore_label.  The loss of a position is at most -log(FLT_MIN).  The
gradient uses the probabilities of the last forward, and the labels' current values.  A second top
(the probabilities) is refused: in this version of Caffe its loss weight fails a check.
"""

import math

import torch

from caffe import log
from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts import loss_normalization
from caffe.layer_parts.labels import counted, ignore_label
from caffe.proto import caffe_pb2

FLT_MIN = torch.finfo(torch.float32).tiny


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def setup(self, shapes: Shapes) -> None:
        # Caffe's layer makes a Softmax layer of the same name inside
        log.info("layer_factory.hpp:77", f"Creating layer {self.name}")
        self.mode = loss_normalization.mode(self.param.loss_param, caffe_pb2.LossParameter.VALID)

    def reshape(self, shapes: Shapes) -> Shapes:
        scores, labels = shapes
        self.along = self.axis(self.param.softmax_param.axis, scores)
        positions = math.prod(scores) // max(1, scores[self.along])
        if positions != math.prod(labels):
            self.fail(
                f"scores {scores} have {positions} positions; there are {math.prod(labels)} labels"
                f" {labels}"
            )
        return [()]

    def allow_force_backward(self, index: int) -> bool:
        return index != 1

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes = scores.shape[self.along]
        batch = math.prod(scores.shape[: self.along])
        logs = torch.log_softmax(scores, self.along).movedim(self.along, -1).reshape(-1, classes)
        if self.keeps:
            self.remember(probabilities=logs.detach().exp())
        labels, keep = counted(self, labels, classes, ignore_label(self))
        picked = logs.gather(1, labels[:, None])[:, 0]
        # the limit changes only the value: Caffe's gradient is softmax - 1 also below it
        losses = -(picked + (picked.clamp(min=math.log(FLT_MIN)) - picked).detach())
        total = torch.where(keep, losses, torch.zeros_like(losses)).sum()
        return total / loss_normalization.normalizer(self.mode, labels.numel(), keep.sum(), batch)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        scores, labels = bottoms
        classes = scores.shape[self.along]
        rows = scores.movedim(self.along, -1).shape
        count = math.prod(rows[:-1])
        labels, keep = counted(self, labels, classes, ignore_label(self))
        probabilities = self.recall("probabilities", (count, classes))
        grad = probabilities.scatter_add(1, labels[:, None], -scores.new_ones(count, 1))
        batch = math.prod(scores.shape[: self.along])
        scale = diffs[0].sum() / loss_normalization.normalizer(self.mode, count, keep.sum(), batch)
        grad = torch.where(keep[:, None], grad * scale, torch.zeros_like(grad))
        return [grad.view(rows).movedim(-1, self.along), None]
