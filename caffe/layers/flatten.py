"""Flatten: the axes axis, ..., end_axis become one, in row-major order.

Honours axis (default 1) and end_axis (default -1).
"""

import math

import torch

from caffe.layer import AS_GIVEN, Layer, Shapes, register


@register("Flatten")
class Flatten(Layer):
    arithmetic = AS_GIVEN
    in_place = False
    shares_data = shares_diff = True

    def reshape(self, shapes: Shapes) -> Shapes:
        p, shape = self.param.flatten_param, shapes[0]
        first, last = self.axis(p.axis, shape), self.axis(p.end_axis, shape, "end_axis")
        if first > last:
            self.fail(
                f"end_axis {p.end_axis} comes before axis {p.axis} in a bottom of shape {shape}"
            )
        self.shape = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        return [self.shape]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(self.shape)
