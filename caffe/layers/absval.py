"""AbsVal: |x|.  The gradient at 0 is 0."""

import torch

from caffe.layer import Layer, Shapes, register


@register("AbsVal")
class AbsVal(Layer):
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs()
