"""Softmax: exp(x) / sum exp(x) along `axis` (default 1).  `engine` changes nothing."""

import torch

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register


@register("Softmax")
class Softmax(Layer):
    always_propagates = True
    reads_top = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        self.along = self.axis(self.param.softmax_param.axis, shapes[0])
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, self.along)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        (y,), (dy,) = tops, diffs
        return [y * (dy - (dy * y).sum(self.along, keepdim=True))]
