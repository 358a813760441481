"""Sigmoid: 1 / (1 + exp(-x)).  `engine` changes nothing."""

import torch

from caffe.layer import VALUES, Layer, register


@register("Sigmoid")
class Sigmoid(Layer):
    reads_top = VALUES

    def reshape(self, shapes):
        return [shapes[0]]

    def forward(self, x):
        return torch.sigmoid(x)

    def backward(self, bottoms, tops, diffs, needs):
        return [diffs[0] * tops[0] * (1 - tops[0])]
