"""Filter: keeps the items (first axis) for which the last bottom, the selector, is not 0.

Every bottom before the selector gives one top.  The tops' first axis is as long as the batch until
the first forward, then as long as the selection, which may be empty.  The gradient goes to the
items that the last forward selected; the selector has none.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("Filter")
class Filter(Layer):
    capturable = False  # the number of chosen items is known only after a wait
    num_bottom = (2, None)
    num_top = (1, None)
    in_place = False

    def reshape(self, shapes: Shapes) -> Shapes:
        *items, selector = shapes
        if len(self.param.top) != len(items):
            self.fail(
                f"has {len(items)} bottoms before the selector and {len(self.param.top)} tops; give"
                " as many tops as bottoms"
            )
        if not selector or math.prod(selector) != selector[0]:
            self.fail(f"the selector must have one value per item; its shape is {selector}")
        for shape in items:
            if not shape or shape[0] != selector[0]:
                self.fail(
                    f"a bottom of shape {shape} and a selector of shape {selector} differ in their"
                    " first axis"
                )
        return items

    def allow_force_backward(self, index: int) -> bool:
        return index < len(self.param.bottom) - 1

    def forward(self, *bottoms: torch.Tensor) -> Tensors:
        *items, selector = bottoms
        chosen = selector.detach().reshape(-1).nonzero()[:, 0]
        self.remember(chosen=chosen)
        return [x.index_select(0, chosen) for x in items]

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        grads = []
        for x, dy, need in zip(bottoms[:-1], diffs, needs, strict=False):
            chosen = self.remembered.get(
                "chosen", torch.zeros(0, dtype=torch.long, device=x.device)
            )[: len(dy)]
            chosen = chosen[chosen < len(x)]  # the bottom may have become smaller since
            grads.append(
                torch.zeros_like(x).index_copy_(0, chosen, dy[: len(chosen)]) if need else None
            )
        return [*grads, None]
