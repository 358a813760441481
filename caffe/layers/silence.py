"""Silence: takes any bottoms and makes nothing of them, so that they are no outputs of the net;
their gradient is 0.
"""

import torch

from caffe.layer import Layer, register


@register("Silence")
class Silence(Layer):
    num_bottom = (1, None)
    num_top = (0, 0)

    def reshape(self, shapes):
        return []

    def forward(self, *bottoms):
        return ()

    def backward(self, bottoms, tops, diffs, needs):
        return [
            torch.zeros_like(x) if need else None for x, need in zip(bottoms, needs, strict=True)
        ]
