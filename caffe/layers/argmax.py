"""ArgMax: the indices of the top_k largest values, largest first; of equal values the last one.

Honours out_max_val, top_k, axis.  No gradient.

Without axis, it compares each item's flattened values.  The top is (N, 1, top_k) and holds the
indices; with out_max_val it is (N, 2, top_k) and holds indices, then values.  With axis, it
compares along that axis.  The top has the bottom's shape, with top_k at the axis, and holds the
indices, or with out_max_val the values instead.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("ArgMax")
class ArgMax(Layer):
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        p, shape = self.param.argmax_param, shapes[0]
        self.along = self.axis(p.axis, shape) if p.HasField("axis") else None
        size = math.prod(shape[1:]) if self.along is None else shape[self.along]
        if not 1 <= p.top_k <= size:
            self.fail(f"top_k {p.top_k} must be in 1..{size}")
        if self.along is not None:
            self.shape = (*shape[: self.along], p.top_k, *shape[self.along + 1 :])
        else:
            rest = (1,) * (len(shape) - 3)
            self.shape = (shape[0], 2 if p.out_max_val else 1, p.top_k, *rest)
        return [self.shape]

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.argmax_param
        along = 1 if self.along is None else self.along
        if self.along is None:
            x = x.reshape(x.shape[0], -1)
        # reversed, so that a stable sort puts the last of equal values first
        values, indices = torch.sort(x.flip(along), dim=along, descending=True, stable=True)
        values = values.narrow(along, 0, p.top_k)
        indices = (x.shape[along] - 1 - indices.narrow(along, 0, p.top_k)).to(x.dtype)
        if self.along is not None:
            return values if p.out_max_val else indices
        return (torch.stack([indices, values], 1) if p.out_max_val else indices).reshape(self.shape)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        return [None]
