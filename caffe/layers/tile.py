"""Tile: repeats the bottom `tiles` times along an axis.

Honours axis (default 1) and tiles, which is required.
"""

import torch

from caffe.layer import Layer, Shapes, register


@register("Tile")
class Tile(Layer):
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        p, shape = self.param.tile_param, shapes[0]
        if p.tiles < 1:
            self.fail(
                f"tiles must be at least 1; it is {p.tiles}"
                if p.HasField("tiles")
                else "tiles is missing"
            )
        along = self.axis(p.axis, shape)
        self.times = [p.tiles if i == along else 1 for i in range(len(shape))]
        return [tuple(d * t for d, t in zip(shape, self.times, strict=True))]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat(self.times)
