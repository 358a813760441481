"""LRN: local response normalisation over neighbouring channels or within each channel.

Honours local_size (odd), alpha, beta, k, norm_region; `engine` changes nothing.
ACROSS_CHANNELS: scale = k + alpha / local_size * (sum of x^2 over local_size channels, fewer at the
edges); y = x * scale^-beta.
WITHIN_CHANNEL: y = x * (1 + alpha * a)^-beta with a = AVE pooling of x^2 over local_size x
local_size windows, always divided by local_size^2 (padding counts); k is not used.
"""

import torch
import torch.nn.functional as F

from caffe.layer import VALUES, Layer, register
from caffe.proto import caffe_pb2


def _power(scale, beta):
    """scale^-beta; the usual 0.75 by square roots, which cost a tenth of a power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.sqrt_().mul_(scale.rsqrt())
    return scale.pow(-beta)


class _AcrossChannels(torch.autograd.Function):
    """The window sum over channels is a product with a banded 0/1 matrix: quick where channels lie
    together.
    """

    @staticmethod
    def forward(ctx, x, scale, size, alpha, beta):
        ctx.save_for_backward(x, scale)
        ctx.settings = size, alpha, beta
        return _power(scale, beta).mul_(x)

    @staticmethod
    def backward(ctx, dy):
        x, scale = ctx.saved_tensors
        size, alpha, beta = ctx.settings
        power = _power(scale, beta)
        return (
            _gradient(x, torch.mul(power, x), scale, power, dy, size, alpha, beta),
            None,
            None,
            None,
            None,
        )


def _gradient(x, y, scale, power, dy, size, alpha, beta):
    """dx_i = dy_i scale_i^-beta - 2 alpha beta / n * x_i * sum over the window of dy_j y_j /
    scale_j; y is used up.
    """
    dx = _window_sum(y.mul_(dy).div_(scale), size).mul_(x).mul_(-2 * alpha * beta / size)
    return dx.addcmul_(power, dy)


def _scale(x, size, alpha, k):
    """k + alpha / n * (sum of x^2 over the window)."""
    return _window_sum(x * x, size).mul_(alpha / size).add_(k)


def _window_sum(x, size):
    """Sum over `size` neighbouring channels (axis 1), fewer at the edges; result in the memory
    format of x.
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

    def setup(self, shapes):
        p = self.param.lrn_param
        if p.local_size % 2 == 0:
            self.fail(f"local_size must be odd, it is {p.local_size}")
        self.across = self.always_propagates = (
            p.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS
        )

    def reshape(self, shapes):
        if len(shapes[0]) != 4:
            self.fail(f"wants a bottom of 4 axes (N, C, H, W), not {shapes[0]}")
        return [shapes[0]]

    def forward(self, x):
        p = self.param.lrn_param
        if self.across:
            scale = _scale(x.detach(), p.local_size, p.alpha, p.k)
            self.remember(scale=scale)
            return _AcrossChannels.apply(x, scale, p.local_size, p.alpha, p.beta)
        scale = 1 + p.alpha * self._window_means(x)
        self.remember(scale=scale)
        return x * scale.pow(-p.beta)

    def _window_means(self, x):
        """Means of x^2 over the windows within each channel."""
        size = self.param.lrn_param.local_size
        return F.avg_pool2d(x * x, size, 1, (size - 1) // 2, count_include_pad=True)

    def backward(self, bottoms, tops, diffs, needs):
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
