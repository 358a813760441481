"""Slice: the bottom cut into its tops along an axis, at slice_point, or into equal parts.

Honours axis (default 1), slice_dim (its old name, which cannot be negative), slice_point (one fewer
than tops).
"""

import itertools

import torch

from caffe.layer import AS_GIVEN, Layer, Shapes, Tensors, register
from caffe.layer_parts.axes import chosen_axis


@register("Slice")
class Slice(Layer):
    arithmetic = AS_GIVEN
    num_top = (1, None)
    in_place = False

    def setup(self, shapes: Shapes) -> None:
        self.shares_data = self.shares_diff = len(self.param.top) == 1

    def reshape(self, shapes: Shapes) -> Shapes:
        p, shape = self.param.slice_param, shapes[0]
        tops = len(self.param.top)
        self.along = chosen_axis(self, p, "slice_dim", shape)
        size = shape[self.along]
        points = list(p.slice_point)
        if not points:
            if size % tops:
                self.fail(
                    f"axis {self.along} of {shape} cannot be cut into {tops} equal parts; give"
                    " slice_point"
                )
            points = [size // tops * i for i in range(1, tops)]
        if len(points) != tops - 1:
            self.fail(f"{tops} tops need {tops - 1} slice_point; there are {len(points)}")
        bounds = [0, *points, size]
        self.sizes = [b - a for a, b in itertools.pairwise(bounds)]
        if min(self.sizes) < 1:
            self.fail(
                f"slice_point {points} must increase and be inside axis {self.along} of {shape}"
            )
        return [(*shape[: self.along], part, *shape[self.along + 1 :]) for part in self.sizes]

    def forward(self, x: torch.Tensor) -> Tensors:
        return [part.clone() for part in torch.split(x, self.sizes, self.along)]
