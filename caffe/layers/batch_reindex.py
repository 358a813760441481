"""BatchReindex: the first bottom's items (first axis) in the order, and as often, as the second
bottom names them.

The second bottom holds indices (M,).  An item's gradient is the sum over its places; none for the
indices.
"""

from caffe.layer import Layer, register


@register("BatchReindex")
class BatchReindex(Layer):
    num_bottom = (2, 2)
    in_place = False

    def reshape(self, shapes):
        items, indices = shapes
        if len(indices) != 1 or not items:
            self.fail(
                f"wants items and a bottom of 1 axis with their indices, not {items} and {indices}"
            )
        return [(indices[0], *items[1:])]

    def allow_force_backward(self, index):
        return index == 0

    def forward(self, x, indices):
        indices = indices.detach().long()
        if indices.device.type == "cpu":
            wrong = indices[(indices < 0) | (indices >= x.shape[0])]
            if len(wrong):
                self.fail(f"index {int(wrong[0])} is outside 0..{x.shape[0] - 1}")
        return x.index_select(0, indices)
