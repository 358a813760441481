"""BatchReindex: items (first axis) of the first bottom, picked by the indices in the second.

The second bottom holds M indices; one may appear several times.  An item's gradient is the sum over
its places in the top; the indices have no gradient.
"""

import torch

from caffe.layer import Layer, Shapes, register
from caffe.layer_parts.labels import integers


@register("BatchReindex")
class BatchReindex(Layer):
    num_bottom = (2, 2)
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        items, indices = shapes
        if len(indices) != 1 or not items:
            self.fail(f"needs items and a bottom of 1 axis with indices, not {items} and {indices}")
        return [(indices[0], *items[1:])]

    def allow_force_backward(self, index: int) -> bool:
        return index == 0

    def forward(self, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        return x.index_select(0, integers(self, indices, x.shape[0], "index"))
