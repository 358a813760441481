"""Threshold: 1 where x > threshold, else 0.  Honours threshold.  No gradient."""

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("Threshold")
class Threshold(Layer):
    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.detach() > self.param.threshold_param.threshold).to(x.dtype)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [None]
