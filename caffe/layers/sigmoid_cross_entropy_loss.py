"""SigmoidCrossEntropyLoss: -sum(t log p + (1 - t) log(1 - p)), p = sigmoid(x), over all elements, by a normalizer.

Bottoms: scores (any shape) and targets of the same first axis and count; targets are not checked to lie in [0, 1].
Honours loss_param: normalization (default BATCH_SIZE: divided by shape[0] only, so with 40 topics the loss starts near
40 ln 2), normalize, ignore_label (an element is ignored if its target, cut to an integer, equals it: 0 drops every
target in (-1, 1)).  No gradient for the targets.
"""

import math

import torch.nn.functional as F

from caffe.layer import Layer, register
from caffe.layers import loss_normalization
from caffe.proto import caffe_pb2


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def setup(self, shapes):
        self.mode = loss_normalization.mode(self.param.loss_param, caffe_pb2.LossParameter.BATCH_SIZE)

    def reshape(self, shapes):
        scores, targets = shapes
        if not scores or not targets or scores[0] != targets[0] or math.prod(scores) != math.prod(targets):
            self.fail(f"scores {scores} and targets {targets} must agree in their first axis and their count")
        return [()]

    def allow_force_backward(self, index):
        return index != 1

    def forward(self, scores, targets):
        batch = scores.shape[0]
        scores = scores.reshape(-1)
        targets = targets.detach().reshape(-1)
        losses = F.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        valid = losses.numel()
        if self.param.loss_param.HasField("ignore_label"):
            keep = targets.trunc() != self.param.loss_param.ignore_label
            losses, valid = losses * keep, keep.sum()
        return losses.sum() / loss_normalization.normalizer(self.mode, losses.numel(), valid, batch)
