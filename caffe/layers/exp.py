"""Exp: base^(scale x + shift).

Honours base (-1, the default: e; else above 0), scale, shift.
"""

import math

import torch

from caffe.layer import VALUES, Layer, register


@register("Exp")
class Exp(Layer):
    reads_top = VALUES

    def setup(self, shapes):
        base = self.param.exp_param.base
        if base != -1 and base <= 0:
            self.fail(f"base must be above 0 (or -1 for e), it is {base:g}")
        self.log_base = 1.0 if base == -1 else math.log(base)

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        p = self.param.exp_param
        return torch.exp(x * (self.log_base * p.scale) + self.log_base * p.shift)

    def backward(self, bottoms, tops, diffs, needs):
        return [diffs[0] * tops[0] * (self.log_base * self.param.exp_param.scale)]
