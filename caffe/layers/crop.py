"""Crop: the first bottom, cut to the size of the second along `axis` and all axes after it.

Honours axis (default 2) and offset (where the cut begins: once for all those axes, or once per
axis; default 0).  Only the size of the second bottom is used.
"""

import torch

from caffe.layer import Layer, Shapes, register


@register("Crop")
class Crop(Layer):
    num_bottom = (2, 2)
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        p = self.param.crop_param
        shape, wanted = shapes
        first = self.axis(p.axis, shape)
        offsets = list(p.offset) or [0]
        if len(offsets) == 1:
            offsets *= len(shape) - first
        if len(offsets) != len(shape) - first:
            self.fail(
                f"offset is given {len(offsets)} times for {len(shape) - first} axes from axis"
                f" {first} on"
            )
        if len(wanted) != len(shape):
            self.fail(f"bottoms of shape {shape} and {wanted} differ in their number of axes")
        self.cut = [slice(None)] * first
        for axis, offset in enumerate(offsets, first):
            if offset + wanted[axis] > shape[axis]:
                self.fail(
                    f"axis {axis}: a cut of {wanted[axis]} at offset {offset} does not fit into a"
                    f" bottom of shape {shape}"
                )
            self.cut.append(slice(offset, offset + wanted[axis]))
        return [(*shape[:first], *wanted[first:])]

    def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return x[tuple(self.cut)].clone()
