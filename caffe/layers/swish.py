"""Swish: x sigmoid(beta x).  Honours beta; torch's silu is beta 1 only."""

import torch

from caffe.layer import Layer, register


@register("Swish")
class Swish(Layer):
    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return x * torch.sigmoid(x * self.param.swish_param.beta)
