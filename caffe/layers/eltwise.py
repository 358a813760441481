"""Eltwise: the SUM (with coefficients), PROD or MAX of bottoms of one shape, element by element.

Honours operation, coeff (for SUM, one per bottom).

MAX: the gradient goes to the bottom from which the last forward took the value.  If the first two
bottoms tie, that is the second; a later bottom is taken only if it is larger.

PROD: with `stable_prod_grad: false`, Caffe divides the top by the bottom, which gives NaN where the
bottom is 0.  There, the gradient here is the product of the others.
"""

import math

import torch

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register
from caffe.proto import caffe_pb2

Op = caffe_pb2.EltwiseParameter


@register("Eltwise")
class Eltwise(Layer):
    num_bottom = (2, None)

    def setup(self, shapes: Shapes) -> None:
        p = self.param.eltwise_param
        if p.coeff and len(p.coeff) != len(shapes):
            self.fail(f"coeff is given {len(p.coeff)} times for {len(shapes)} bottoms")
        if p.coeff and p.operation == Op.PROD:
            self.fail("coeff is for operation: SUM only")
        if p.operation == Op.PROD:
            self.reads_top = self.reads_own_bottom = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        for shape in shapes:
            if shape != shapes[0]:
                self.fail(f"all bottoms must have one shape; there are {shapes[0]} and {shape}")
        return [shapes[0]]

    def forward(self, first: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
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
            takes = first <= others[0]  # whether this bottom has the largest value so far
            y, winner = torch.where(takes, others[0], first), takes.to(torch.uint8)
            for index, x in enumerate(others[1:], 2):
                takes = x > y
                y, winner = torch.where(takes, x, y), winner.masked_fill(takes, index)
            self.remember(winner=winner)
        return y

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        p = self.param.eltwise_param
        if p.operation == Op.SUM:
            return super().backward(bottoms, tops, diffs, needs)
        grads = []
        for i, (x, need) in enumerate(zip(bottoms, needs, strict=True)):
            if not need:
                grads.append(None)
            elif p.operation == Op.MAX:
                grads.append(diffs[0] * (self.recall("winner", x.shape, torch.uint8) == i))
            else:
                product = math.prod(other for j, other in enumerate(bottoms) if j != i)
                if not p.stable_prod_grad:
                    product = torch.where(x == 0, product, tops[0] / x)
                grads.append(diffs[0] * product)
        return grads
