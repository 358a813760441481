"""HingeLoss: the sum over all classes of max(0, 1 - s x) / N.

s is 1 for the label's class and -1 for the others.  Bottoms: scores (N, ...), one per class, and N
integer labels.  Honours norm (L1; L2 squares the terms).  torch's multi_margin_loss compares
classes with one another; this loss compares each class with 0.  The gradient uses the terms of the
last forward, and the labels' current values.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts.labels import check_one_per_item, integers
from caffe.proto import caffe_pb2


@register("HingeLoss")
class HingeLoss(Layer):
    num_bottom = (2, 2)
    is_loss = True

    def reshape(self, shapes: Shapes) -> Shapes:
        check_one_per_item(self, "scores", shapes)
        return [()]

    def allow_force_backward(self, index: int) -> bool:
        return index != 1

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        rows = scores.reshape(scores.shape[0], -1)
        labels = integers(self, labels.reshape(-1), rows.shape[1])
        margins = torch.relu(1 + _signs(rows, labels) * rows)
        self.remember(margins=margins)
        if self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2:
            margins = margins.square()
        return margins.sum() / rows.shape[0]

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        scores, labels = bottoms
        margins = self.recall("margins", (scores.shape[0], math.prod(scores.shape[1:])))
        l2 = self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2
        slope = 2 * margins if l2 else margins.sign()
        grad = (
            _signs(margins, integers(self, labels.reshape(-1), margins.shape[1]))
            * slope
            * (diffs[0].sum() / len(margins))
        )
        return [grad.view(scores.shape), None]


def _signs(rows: torch.Tensor, labels: torch.Tensor):
    """-1 for each row's label, 1 for the other classes."""
    return torch.ones_like(rows).scatter_(1, labels[:, None], -1.0)
