"""Bias: x + b, with b spread over the axes that it does not have.

With one bottom, b is learnt, and has the shape of the bottom's axes axis, ..., axis + num_axes - 1
(num_axes -1: all that follow; 0: one number).  With two bottoms, b is the second, aligned with the
first from `axis` on.  Honours axis, num_axes, filler.
"""

import torch

from caffe.layer import Layer, Shapes, register
from caffe.layer_parts.axes import first_axis, learnt_shape, spread


@register("Bias")
class Bias(Layer):
    num_bottom = (1, 2)

    def setup(self, shapes: Shapes) -> None:
        p = self.param.bias_param
        if len(shapes) == 1:
            self.add_blob(learnt_shape(self, p, shapes[0]), p.filler)

    def reshape(self, shapes: Shapes) -> Shapes:
        part = shapes[1] if len(shapes) > 1 else self.blobs[0].shape
        self.along = first_axis(self, self.param.bias_param, part, shapes[0])
        return [shapes[0]]

    def forward(self, x: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        bias = given[0] if given else self.params[0]
        return x + spread(bias, self.along, x.dim())
