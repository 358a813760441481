"""Power: (scale x + shift)^power.

Honours power, scale, shift.  Where power or scale is 0 the top is a constant and the gradient 0 whatever x is.  Caffe
divides by x in the gradient for shift 0 and so gives NaN at x = 0; here the gradient is the true one.
"""

import torch

from caffe.layer import Layer, register


@register("Power")
class Power(Layer):
    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        p = self.param.power_param
        if p.power == 0 or p.scale == 0:
            value = torch.ones_like(x) if p.power == 0 else torch.full_like(x, p.shift).pow(p.power)
            return torch.where(torch.ones_like(x, dtype=torch.bool), value, x)  # x keeps its place in the graph
        y = x * p.scale + p.shift if p.shift != 0 else x * p.scale
        return y if p.power == 1 else y.pow(p.power)
