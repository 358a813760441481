"""Filter: of every bottom but the last those items (first axis) where the last bottom, the selector, is not 0.

The tops' first axis is as long as the batch until the first forward, then as long as what was selected, which may be 0.
No gradient for the selector.
"""

import math

from caffe.layer import Layer, register


@register("Filter")
class Filter(Layer):
    num_bottom = (2, None)
    num_top = (1, None)
    in_place = False

    def reshape(self, shapes):
        *items, selector = shapes
        if len(self.param.top) != len(items):
            self.fail(f"has {len(items)} bottoms before the selector and {len(self.param.top)} tops; give as many")
        if not selector or math.prod(selector) != selector[0]:
            self.fail(f"the selector must have one value an item, its shape is {selector}")
        for shape in items:
            if not shape or shape[0] != selector[0]:
                self.fail(f"a bottom of shape {shape} and a selector of shape {selector} differ in their first axis")
        return items

    def allow_force_backward(self, index):
        return index < len(self.param.bottom) - 1

    def forward(self, *bottoms):
        *items, selector = bottoms
        chosen = selector.detach().reshape(-1).nonzero()[:, 0]
        return [x.index_select(0, chosen) for x in items]
