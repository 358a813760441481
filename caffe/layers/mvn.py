"""MVN: subtract each channel's mean in each image, and divide by its standard deviation + eps.

Honours normalize_variance, across_channels (mean and deviation of the whole image) and eps, which
is added to the deviation, not to the variance.  As in Caffe, the gradient treats deviation + eps as
the deviation; it uses the top's current values and the deviations of the last forward.
"""

import torch
from torch.autograd.function import FunctionCtx

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register


class _Normalize(torch.autograd.Function):
    """On rows (R, D): y = (x - mean) / d and dx = (dy - mean(dy) - y mean(y dy)) / d.

    d is deviation + eps.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, rows: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        y = (rows - rows.mean(1, keepdim=True)) / deviation
        ctx.save_for_backward(y, deviation)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _gradient(dy, *ctx.saved_tensors), None


def _gradient(dy: torch.Tensor, y: torch.Tensor, deviation: torch.Tensor):
    return (dy - dy.mean(1, keepdim=True) - y * (y * dy).mean(1, keepdim=True)) / deviation


@register("MVN")
class MVN(Layer):
    always_propagates = True
    reads_top = VALUES

    def reshape(self, shapes: Shapes) -> Shapes:
        if len(shapes[0]) > 4:
            self.fail(f"takes a bottom of at most 4 axes, not {shapes[0]}")
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self._rows(x)
        if not self.param.mvn_param.normalize_variance:
            return (rows - rows.mean(1, keepdim=True)).view(x.shape)
        deviation = self._deviation(rows.detach())
        self.remember(deviation=deviation)
        return _Normalize.apply(rows, deviation).view(x.shape)

    def _rows(self, x: torch.Tensor):
        """What is normalised together, as rows: (N, C H W) or (N C, H W)."""
        leading = x.shape[:1] if self.param.mvn_param.across_channels else x.shape[:2]
        return x.reshape(leading.numel(), -1)

    def _deviation(self, rows: torch.Tensor):
        return rows.var(1, unbiased=False, keepdim=True).sqrt() + self.param.mvn_param.eps

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        if not self.param.mvn_param.normalize_variance:
            return super().backward(bottoms, tops, diffs, needs)
        if not self.remembered:  # before any forward
            self.remembered = {"deviation": self._deviation(self._rows(bottoms[0]))}
        dy, y = self._rows(diffs[0]), self._rows(tops[0])
        return [_gradient(dy, y, self.recall("deviation", (len(dy), 1))).view(diffs[0].shape)]
