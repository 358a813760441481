"""ContrastiveLoss: over pairs, d^2 where they are similar, else max(margin - d, 0)^2, summed / (2 N); d their distance.

Bottoms: features (N, C) twice, and N flags, cut to an integer (not 0: similar).  Honours margin and legacy_version
(dissimilar pairs: max(margin - d^2, 0)).  The gradient of a dissimilar pair divides by d + 1e-4 where the true one
divides by d.
"""

import math

import torch

from caffe.layer import Layer, register


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, similar, margin, legacy):
        difference = a - b
        squared = difference.square().sum(1)
        distance = squared.sqrt()
        gap = (margin - (squared if legacy else distance)).clamp(min=0)
        losses = torch.where(similar, squared, gap if legacy else gap.square())
        pull = -(gap > 0).to(a.dtype) if legacy else -gap / (distance + 1e-4)
        ctx.save_for_backward(difference * torch.where(similar, torch.ones_like(gap), pull)[:, None])
        return losses.sum() / (2 * len(a))

    @staticmethod
    def backward(ctx, dy):
        (direction,) = ctx.saved_tensors
        grad = direction * (dy / len(direction))
        return grad, -grad, None, None, None


@register("ContrastiveLoss")
class ContrastiveLoss(Layer):
    num_bottom = (3, 3)
    is_loss = True

    def reshape(self, shapes):
        a, b, flags = shapes
        if len(a) < 2 or a[:2] != b[:2] or {math.prod(a[2:]), math.prod(b[2:])} != {1}:
            self.fail(f"wants two bottoms of one shape (N, C), not {a} and {b}")
        if math.prod(flags) != a[0]:
            self.fail(f"{a[0]} pairs want as many flags, their shape is {flags}")
        return [()]

    def allow_force_backward(self, index):
        return index != 2

    def forward(self, a, b, flags):
        p = self.param.contrastive_loss_param
        similar = flags.detach().reshape(-1).trunc() != 0
        return _Contrast.apply(a.flatten(1), b.flatten(1), similar, p.margin, p.legacy_version)
