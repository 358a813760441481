"""BatchReindex: the first bottom's items (first axis), in the order and as often as the second
names them.

The second bottom holds M indices.  An item's gradient is the sum over its places; the indices have
no gradient.
"""

import torch

from caffe.layer import Layer, Shapes, register


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
        indices = indices.detach().long()
        if indices.device.type == "cpu":
            wrong = indices[(indices < 0) | (indices >= x.shape[0])]
            if len(wrong):
                self.fail(f"index {int(wrong[0])} is outside 0..{x.shape[0] - 1}")
        return x.index_select(0, indices)
