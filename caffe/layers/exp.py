"""Exp: base^(scale x + shift).

Honours base (the default -1 means e; others must be above 0), scale, shift.
"""

import math

import torch

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register


@register("Exp")
class Exp(Layer):
    reads_top = VALUES

    def setup(self, shapes: Shapes) -> None:
        base = self.param.exp_param.base
        if base != -1 and base <= 0:
            self.fail(f"base must be above 0 (or -1 for e); it is {base:g}")
        self.log_base = 1.0 if base == -1 else math.log(base)

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.exp_param
        return torch.exp(x * (self.log_base * p.scale) + self.log_base * p.shift)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [diffs[0] * tops[0] * (self.log_base * self.param.exp_param.scale)]
