"""Log: the logarithm of scale x + shift to a base.

Honours base (the default -1 means e; others must be above 0 and not 1), scale, shift.
"""

import math

import torch

from caffe.layer import VALUES, Layer, Shapes, register


@register("Log")
class Log(Layer):
    reads_own_bottom = VALUES

    def setup(self, shapes: Shapes) -> None:
        base = self.param.log_param.base
        if base != -1 and (base <= 0 or base == 1):
            self.fail(f"base must be above 0 and not 1 (or -1 for e); it is {base:g}")
        self.log_base = 1.0 if base == -1 else math.log(base)

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.log_param
        if p.scale != 1:
            x = x * p.scale
        if p.shift != 0:
            x = x + p.shift
        return torch.log(x) / self.log_base
