"""Sigmoid: 1 / (1 + exp(-x)).  `engine` changes nothing."""

import torch

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register


@register("Sigmoid")
class Sigmoid(Layer):
    reads_top = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [diffs[0] * tops[0] * (1 - tops[0])]
