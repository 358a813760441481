"""Concat: the bottoms one after another along an axis.

Honours axis (default 1) and concat_dim, its old name, which cannot be negative.  The bottoms must
agree in their other axes.
"""

import torch

from caffe.layer import AS_GIVEN, Layer, Shapes, register
from caffe.layer_parts.axes import chosen_axis


@register("Concat")
class Concat(Layer):
    arithmetic = AS_GIVEN
    num_bottom = (1, None)
    in_place = False

    def setup(self, shapes: Shapes) -> None:
        self.shares_data = self.shares_diff = len(self.param.bottom) == 1

    def reshape(self, shapes: Shapes) -> Shapes:
        first = shapes[0]
        self.along = along = chosen_axis(self, self.param.concat_param, "concat_dim", first)
        for shape in shapes:
            if (*shape[:along], *shape[along + 1 :]) != (*first[:along], *first[along + 1 :]):
                self.fail(f"bottoms of shape {first} and {shape} do not agree outside axis {along}")
        return [(*first[:along], sum(shape[along] for shape in shapes), *first[along + 1 :])]

    def forward(self, *bottoms: torch.Tensor) -> torch.Tensor:
        return torch.cat(bottoms, self.along)
