"""Swish: x sigmoid(beta x).  Honours beta; torch's silu is beta 1 only."""

import torch

from caffe.layer import VALUES, Layer, register


@register("Swish")
class Swish(Layer):
    reads_top = VALUES

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        sigmoid = torch.sigmoid(x * self.param.swish_param.beta)
        self.remember(sigmoid=sigmoid)
        return x * sigmoid

    def backward(self, bottoms, tops, diffs, needs):
        y = tops[0] * self.param.swish_param.beta
        return [diffs[0] * (y + self.recall("sigmoid", y.shape) * (1 - y))]
