"""LRN: local response normalisation over neighbouring channels or within each channel.

Honours local_size (odd), alpha, beta, k, norm_region; `engine` changes nothing.

ACROSS_CHANNELS: y = x * scale^-beta, where scale = k + alpha / local_size * (the sum of x^2 over
local_size channels, fewer at the edges).

WITHIN_CHANNEL: y = x * (1 + alpha * a)^-beta, where a is the AVE pooling of x^2 over local_size x
local_size windows, always divided by local_size^2 (padding counts); k is not used.
"""

import torch
import torch.nn.functional as F
from torch.autograd.function import FunctionCtx

from caffe.layer import VALUES, Grads, Layer, Needs, Shapes, Tensors, register
from caffe.layer_parts import lrn_kernel
from caffe.proto import caffe_pb2


def _power(scale: torch.Tensor, beta: float):
    """scale^-beta; the usual 0.75 from square roots, at a tenth of the cost of a power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.sqrt_().mul_(scale.rsqrt())
    return scale.pow(-beta)


class _AcrossChannels(torch.autograd.Function):
    """ACROSS_CHANNELS, with Caffe's gradient.

    The window sum over channels is a product with a banded 0/1 matrix, which is fast when channels
    are last in memory.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, scale: torch.Tensor, size: int, alpha: float, beta: float
    ) -> torch.Tensor:
        ctx.save_for_backward(x, scale)
        ctx.settings = size, alpha, beta
        return _power(scale, beta).mul_(x)

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        size, alpha, beta = ctx.settings
        power = _power(scale, beta)
        dx = _gradient(x, torch.mul(power, x), scale, power, dy, size, alpha, beta)
        return dx, None, None, None, None


def _gradient(
    x: torch.Tensor,
    y: torch.Tensor,
    scale: torch.Tensor,
    power: torch.Tensor,
    dy: torch.Tensor,
    size: int,
    alpha: float,
    beta: float,
):
    """dx_i = dy_i scale_i^-beta - 2 alpha beta / n * x_i * sum(dy_j y_j / scale_j).

    The sum is over the window; y is overwritten.
    """
    dx = _window_sum(y.mul_(dy).div_(scale), size).mul_(x).mul_(-2 * alpha * beta / size)
    return dx.addcmul_(power, dy)


def _scale(x: torch.Tensor, size: int, alpha: float, k: float):
    """k + alpha / n * (sum of x^2 over the window)."""
    return _window_sum(x * x, size).mul_(alpha / size).add_(k)


def _window_sum(x: torch.Tensor, size: int):
    """The sum over `size` neighbouring channels (axis 1), fewer at the edges.

    The result has the memory format of x.
    """
    steps = torch.arange(x.shape[1], device=x.device)
    band = ((steps[:, None] - steps[None, :]).abs() <= size // 2).to(x.dtype)
    moved = x.movedim(1, -1)
    if not moved.is_contiguous():  # (N, C, spatial...) in memory: multiply from the left
        return torch.matmul(band, x.reshape(x.shape[0], x.shape[1], -1)).view(x.shape)
    return torch.matmul(moved.reshape(-1, x.shape[1]), band).view(moved.shape).movedim(-1, 1)


@register("LRN")
class LRN(Layer):
    reads_top = VALUES
    reads_own_bottom = VALUES

    def setup(self, shapes: Shapes) -> None:
        p = self.param.lrn_param
        if p.local_size % 2 == 0:
            self.fail(f"local_size must be odd; it is {p.local_size}")
        self.across = self.always_propagates = (
            p.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS
        )

    def reshape(self, shapes: Shapes) -> Shapes:
        if len(shapes[0]) != 4:
            self.fail(f"needs a bottom of 4 axes (N, C, H, W), not {shapes[0]}")
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lrn_param
        if self.across and self.trials is not None and lrn_kernel.exists():
            self.remember()
            ways = {"plain": self._across, "one kernel": self._in_one_kernel}
            return self.trials.run(self.name, ways, (x,))
        if self.across:
            return self._across(x)
        scale = 1 + p.alpha * self._window_means(x)
        self.remember(scale=scale)
        return x * scale.pow(-p.beta)

    def _across(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lrn_param
        scale = _scale(x.detach(), p.local_size, p.alpha, p.k)
        self.remember(scale=scale)
        return _AcrossChannels.apply(x, scale, p.local_size, p.alpha, p.beta)

    def _in_one_kernel(self, x: torch.Tensor) -> torch.Tensor:
        p = self.param.lrn_param
        return lrn_kernel.AcrossChannels.apply(x, p.local_size, p.alpha, p.beta, p.k)

    def _window_means(self, x: torch.Tensor):
        """Means of x^2 over the windows within each channel."""
        size = self.param.lrn_param.local_size
        return F.avg_pool2d(x * x, size, 1, (size - 1) // 2, count_include_pad=True)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        p, (x,), (y,), (dy,) = self.param.lrn_param, bottoms, tops, diffs
        if not self.remembered:  # before any forward
            scale = (
                _scale(x, p.local_size, p.alpha, p.k)
                if self.across
                else 1 + p.alpha * self._window_means(x)
            )
            self.remembered = {"scale": scale}
        scale = self.recall("scale", x.shape)
        power = _power(scale, p.beta)
        if self.across:
            return [_gradient(x, y.clone(), scale, power, dy, p.local_size, p.alpha, p.beta)]
        slope = dy * x * power / scale * (-p.alpha * p.beta)  # with respect to the means
        (through_means,) = self.differentiate(self._window_means, bottoms, [slope], needs)
        return [torch.addcmul(through_means, dy, power)]
