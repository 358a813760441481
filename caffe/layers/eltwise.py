"""Eltwise: SUM (each bottom times its coeff), PROD or MAX of bottoms of one shape, element by element.

Honours operation, coeff (for SUM, one per bottom).  MAX: where the first two bottoms tie, the second takes value and
gradient; a later one takes them only if it is larger.  `stable_prod_grad: false` asks Caffe to divide by the bottom,
which is NaN at 0; here the gradient is the product of the others either way.
"""

import torch

from caffe.layer import Layer, register
from caffe.proto import caffe_pb2

Op = caffe_pb2.EltwiseParameter


@register("Eltwise")
class Eltwise(Layer):
    num_bottom = (2, None)

    def setup(self, shapes):
        p = self.param.eltwise_param
        if p.coeff and len(p.coeff) != len(shapes):
            self.fail(f"coeff is given {len(p.coeff)} times for {len(shapes)} bottoms")
        if p.coeff and p.operation == Op.PROD:
            self.fail("coeff is for operation: SUM only")

    def reshape(self, shapes):
        for shape in shapes:
            if shape != shapes[0]:
                self.fail(f"all bottoms must have one shape; there are {shapes[0]} and {shape}")
        return [shapes[0]]

    def forward(self, first, *others):
        p = self.param.eltwise_param
        if p.operation == Op.SUM:
            coeff = list(p.coeff) or [1.0] * (1 + len(others))
            y = first if coeff[0] == 1 else first * coeff[0]
            for x, c in zip(others, coeff[1:], strict=True):
                y = torch.add(y, x, alpha=c)
        elif p.operation == Op.PROD:
            y = first
            for x in others:
                y = y * x
        else:
            y = torch.where(first > others[0], first, others[0])
            for x in others[1:]:
                y = torch.where(x > y, x, y)
        return y
