"""TanH: (exp(2x) - 1) / (exp(2x) + 1).  `engine` changes nothing."""

import torch

from caffe.layer import VALUES, Layer, register


@register("TanH")
class TanH(Layer):
    reads_top = VALUES

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return torch.tanh(x)

    def backward(self, bottoms, tops, diffs, needs):
        return [diffs[0] * (1 - tops[0] * tops[0])]
