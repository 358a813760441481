"""Swish: x sigmoid(beta x).  Honours beta; torch's silu is beta 1 only."""

import torch

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register


@register("Swish")
class Swish(Layer):
    reads_top = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sigmoid = torch.sigmoid(x * self.param.swish_param.beta)
        self.remember(sigmoid=sigmoid)
        return x * sigmoid

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        y = tops[0] * self.param.swish_param.beta
        return [diffs[0] * (y + self.recall("sigmoid", y.shape) * (1 - y))]
