"""ReLU: max(x, 0) + negative_slope * min(x, 0); the gradient at 0 is negative_slope.

Honours negative_slope; `engine` changes nothing.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import FunctionCtx

from caffe.layer import AS_GIVEN, SIGNS, VALUES, Grads, Layer, Needs, Shapes, Tensors, register


class _InPlace(torch.autograd.Function):
    """max(x, 0), which overwrites x, and whose gradient overwrites that of the top."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        x.clamp_min_(0)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward.grad_input(dy, y, 0, grad_input=dy)


@register("ReLU")
class ReLU(Layer):
    arithmetic = AS_GIVEN
    can_overwrite = True
    keeps_signs = True
    overwrites_diff = False  # set by the net: only this layer's backward reads the top's gradient

    def setup(self, shapes: Shapes) -> None:
        # with a slope below 0, the top of a layer in place does not show the bottom's signs
        if self.param.relu_param.negative_slope < 0:
            self.keeps_signs, self.reads_own_bottom = False, VALUES
        else:
            self.reads_own_bottom = SIGNS

    def reshape(self, shapes: Shapes) -> Shapes:
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.param.relu_param.negative_slope
        if slope == 0:
            # in place on a view, autograd rewrites the history, and the bottom's diff would be lost
            overwrites = self.overwrites and not x._is_view()
            if overwrites and self.overwrites_diff and not self.keeps and x.requires_grad:
                return _InPlace.apply(x)
            return F.relu(x, inplace=overwrites)
        return torch.where(x > 0, x, x * slope)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        slope, positive = self.param.relu_param.negative_slope, bottoms[0] > 0
        if slope == 0:
            return [diffs[0] * positive]
        return [torch.where(positive, diffs[0], diffs[0] * slope)]
