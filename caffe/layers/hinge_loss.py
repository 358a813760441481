"""HingeLoss: the sum over all classes of max(0, 1 - s x) / N; s is 1 for the label's class, else
-1.

Bottoms: scores (N, ...), an item's values being its classes, and N integer labels.
Honours norm (L1; L2 squares the terms).  torch's multi_margin_loss compares classes with one
another; this compares each with 0.  The gradient uses the terms of the last forward, and the labels
as they are.
"""

import math

import torch

from caffe.layer import Layer, register
from caffe.layer_parts.labels import integers
from caffe.proto import caffe_pb2


@register("HingeLoss")
class HingeLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def reshape(self, shapes):
        scores, labels = shapes
        if not scores or math.prod(labels) != scores[0]:
            self.fail(
                f"scores {scores} want one label an item, there are {math.prod(labels)} labels {labels}"
            )
        return [()]

    def allow_force_backward(self, index):
        return index != 1

    def forward(self, scores, labels):
        rows = scores.reshape(scores.shape[0], -1)
        labels = integers(self, labels, rows.shape[1])
        margins = torch.relu(1 + _signs(rows, labels) * rows)
        self.remember(margins=margins)
        if self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margins = margins.square()
        return margins.sum() / rows.shape[0]

    def backward(self, bottoms, tops, diffs, needs):
        scores, labels = bottoms
        margins = self.recall("margins", (scores.shape[0], math.prod(scores.shape[1:])))
        l2 = self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2
        slope = 2 * margins if l2 else margins.sign()
        grad = (
            _signs(margins, integers(self, labels, margins.shape[1]))
            * slope
            * (diffs[0].sum() / len(margins))
        )
        return [grad.view(scores.shape), None]


def _signs(rows, labels):
    """-1 for each row's label, 1 for the other classes."""
    return torch.ones_like(rows).scatter_(1, labels[:, None], -1.0)
