"""Clip: x limited to [min, max].

Honours min and max, both required.  The gradient passes where x is in the interval, ends included.
"""

import torch

from caffe.layer import VALUES, Layer, Shapes, register


@register("Clip")
class Clip(Layer):
    reads_own_bottom = VALUES

    def setup(self, shapes: Shapes) -> None:
        p = self.param.clip_param
        for field in ("min", "max"):
            if not p.HasField(field):
                self.fail(f"clip_param.{field} is missing")

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.clip_param
        return x.clamp(p.min, p.max)
