"""Power: (scale x + shift)^power.

Honours power, scale, shift.  If power or scale is 0, the top is constant, and the gradient is 0
whatever x is.  Except for power 1 and 2, Caffe's gradient is power * scale * top / (scale x +
shift), which is NaN where the divisor is 0; there, the gradient here is the true one.
"""

import torch

from caffe.layer import NOTHING, VALUES, Grads, Layer, Needs, Shapes, Tensors, register


@register("Power")
class Power(Layer):
    def setup(self, shapes: Shapes) -> None:
        p = self.param.power_param
        if p.power not in (0, 1) and p.scale != 0:
            self.reads_own_bottom = VALUES
            self.reads_top = NOTHING if p.power == 2 else VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.power_param
        if p.power == 0 or p.scale == 0:
            value = torch.ones_like(x) if p.power == 0 else torch.full_like(x, p.shift).pow(p.power)
            # where, so that x stays in the graph
            return torch.where(torch.ones_like(x, dtype=torch.bool), value, x)
        y = x * p.scale + p.shift if p.shift != 0 else x * p.scale
        return y if p.power == 1 else y.pow(p.power)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        p = self.param.power_param
        slope = p.power * p.scale
        if slope == 0:
            return [torch.zeros_like(diffs[0])]
        if p.power == 1:
            return [diffs[0] * slope]
        base = bottoms[0] * p.scale + p.shift
        if p.power == 2:
            return [diffs[0] * base * slope]
        return [diffs[0] * torch.where(base == 0, base.pow(p.power - 1), tops[0] / base) * slope]
