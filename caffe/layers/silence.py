"""Silence: reads its bottoms, so that they are not outputs of the net, and produces nothing.

The bottoms' gradient is 0.
"""

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("Silence")
class Silence(Layer):
    num_bottom = (1, None)
    num_top = (0, 0)

    def reshape(self, shapes: Shapes) -> Shapes:
        return []

    def forward(self, *bottoms: torch.Tensor) -> Tensors:
        return ()

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [
            torch.zeros_like(x) if need else None for x, need in zip(bottoms, needs, strict=True)
        ]
