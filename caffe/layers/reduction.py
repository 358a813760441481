"""Reduction: coeff times the SUM, ASUM, SUMSQ or MEAN over all axes from `axis` on.

Honours operation (ASUM: sum of absolute values; SUMSQ: of squares), axis (default 0: the top is one
number), coeff.
"""

import torch

from caffe.layer import Layer, Shapes, register
from caffe.proto import caffe_pb2

Op = caffe_pb2.ReductionParameter


@register("Reduction")
class Reduction(Layer):
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        self.first = self.axis(self.param.reduction_param.axis, shapes[0])
        return [shapes[0][: self.first]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.reduction_param
        x = x.flatten(self.first)
        if p.operation == Op.ASUM:
            x = x.abs()
        elif p.operation == Op.SUMSQ:
            x = x.square()
        y = x.mean(-1) if p.operation == Op.MEAN else x.sum(-1)
        return y if p.coeff == 1 else y * p.coeff
