"""ContrastiveLoss: the sum over pairs of d^2 if similar, else max(margin - d, 0)^2, over 2 N.

d is the distance of a pair.  Bottoms: features (N, C) twice, and N flags, truncated to integers
(not 0: similar).  Honours margin and legacy_version (dissimilar pairs: max(margin - d^2, 0)).  The
gradient of a dissimilar pair divides by d + 1e-4 where the true one divides by d.  It uses the
differences of the last forward, and the flags' current values.
"""

import math

import torch
from torch.autograd.function import FunctionCtx

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


def _gap(squared: torch.Tensor, margin: float, legacy: bool):
    """How far a pair at this squared distance is inside the margin, 0 where it is outside."""
    return (margin - (squared if legacy else squared.sqrt())).clamp(min=0)


def _direction(
    difference: torch.Tensor,
    squared: torch.Tensor,
    similar: torch.Tensor,
    margin: float,
    legacy: bool,
):
    """N times the gradient of the loss with respect to the first bottom, (N, C)."""
    gap = _gap(squared, margin, legacy)
    pull = -(gap > 0).to(gap.dtype) if legacy else -gap / (squared.sqrt() + 1e-4)
    return difference * torch.where(similar, torch.ones_like(gap), pull)[:, None]


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        a: torch.Tensor,
        b: torch.Tensor,  # noqa: ARG004  autograd needs it: it has a gradient
        difference: torch.Tensor,
        squared: torch.Tensor,
        similar: torch.Tensor,
        margin: float,
        legacy: bool,
    ) -> torch.Tensor:
        gap = _gap(squared, margin, legacy)
        losses = torch.where(similar, squared, gap if legacy else gap.square())
        ctx.save_for_backward(_direction(difference, squared, similar, margin, legacy))
        return losses.sum() / (2 * len(a))

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> Grads:
        (direction,) = ctx.saved_tensors
        grad = direction * (dy / len(direction))
        return grad, -grad, *(None,) * 5


def _similar(flags: torch.Tensor):
    return flags.detach().reshape(-1).trunc() != 0


@register("ContrastiveLoss")
class ContrastiveLoss(Layer):
    num_bottom = (3, 3)
    is_loss = True

    def reshape(self, shapes: Shapes) -> Shapes:
        a, b, flags = shapes
        if len(a) < 2 or a[:2] != b[:2] or {math.prod(a[2:]), math.prod(b[2:])} != {1}:
            self.fail(f"needs two bottoms of one shape (N, C), not {a} and {b}")
        if math.prod(flags) != a[0]:
            self.fail(f"{a[0]} pairs need as many flags, their shape is {flags}")
        return [()]

    def allow_force_backward(self, index: int) -> bool:
        return index != 2

    def forward(self, a: torch.Tensor, b: torch.Tensor, flags: torch.Tensor) -> torch.Tensor:
        p = self.param.contrastive_loss_param
        a, b = a.flatten(1), b.flatten(1)
        difference = a.detach() - b.detach()
        squared = difference.square().sum(1)
        self.remember(difference=difference, squared=squared)
        return _Contrast.apply(
            a, b, difference, squared, _similar(flags), p.margin, p.legacy_version
        )

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        a, b, flags = bottoms
        p = self.param.contrastive_loss_param
        difference, squared = (
            self.recall("difference", a.flatten(1).shape),
            self.recall("squared", a.shape[:1]),
        )
        grad = _direction(difference, squared, _similar(flags), p.margin, p.legacy_version) * (
            diffs[0].sum() / len(a)
        )
        return [
            grad.view(a.shape) if needs[0] else None,
            -grad.view(b.shape) if needs[1] else None,
            None,
        ]
