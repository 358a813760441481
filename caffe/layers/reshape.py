"""Reshape: the same values, in row-major order, in another shape.

Honours shape (a dim of 0 is copied from the bottom's axis at that place; one dim may be -1, and
takes whatever is left over), axis (the first axis to replace; -1 means after the last) and num_axes
(how many axes to replace; -1 means all that follow).
"""

import math

import torch

from caffe.layer import AS_GIVEN, Layer, Shapes, register


@register("Reshape")
class Reshape(Layer):
    arithmetic = AS_GIVEN
    in_place = False
    shares_data = shares_diff = True

    def setup(self, shapes: Shapes) -> None:
        dims = list(self.param.reshape_param.shape.dim)
        if dims.count(-1) > 1 or min(dims, default=0) < -1:
            self.fail(f"reshape_param.shape {dims}: a dim is positive, 0, or once -1")

    def reshape(self, shapes: Shapes) -> Shapes:
        p, shape = self.param.reshape_param, shapes[0]
        dims = list(p.shape.dim)
        start = p.axis if p.axis >= 0 else len(shape) + p.axis + 1
        if not 0 <= start <= len(shape):
            self.fail(f"axis {p.axis} is out of range for a blob of shape {shape}")
        end = len(shape) if p.num_axes == -1 else start + p.num_axes
        if p.num_axes < -1 or end > len(shape):
            self.fail(
                f"num_axes {p.num_axes} from axis {start} on does not fit a blob of shape {shape}"
            )
        for i, dim in enumerate(dims):
            if dim == 0:
                if start + i >= len(shape):
                    self.fail(
                        f"shape {list(p.shape.dim)}: dim {i} is 0, but a bottom of shape {shape}"
                        " has no such axis"
                    )
                dims[i] = shape[start + i]
        new = [*shape[:start], *dims, *shape[end:]]
        if -1 in dims:
            rest = math.prod(d for d in new if d != -1)
            new[start + dims.index(-1)] = math.prod(shape) // rest if rest else 0
        if math.prod(new) != math.prod(shape):
            self.fail(
                f"cannot make the shape {list(p.shape.dim)} (axis {p.axis}) from a bottom of shape"
                f" {shape}"
            )
        self.shape = tuple(new)
        return [self.shape]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(self.shape)
