"""LRN: local response normalisation over neighbouring channels or within each channel.

Honours local_size (odd), alpha, beta, k, norm_region; `engine` changes nothing.
ACROSS_CHANNELS: scale = k + alpha / local_size * (sum of x^2 over local_size channels, fewer at the edges);
y = x * scale^-beta.
WITHIN_CHANNEL: y = x * (1 + alpha * a)^-beta with a = AVE pooling of x^2 over local_size x local_size windows, always
divided by local_size^2 (padding counts); k is not used.
"""

import torch
import torch.nn.functional as F

from caffe.layer import Layer, register
from caffe.proto import caffe_pb2


def _power(scale, beta):
    """scale^-beta; the usual 0.75 by square roots, which cost a tenth of a power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.sqrt_().mul_(scale.rsqrt())
    return scale.pow(-beta)


class _AcrossChannels(torch.autograd.Function):
    """The window sum over channels is a product with a banded 0/1 matrix: quick where channels lie together."""

    @staticmethod
    def forward(ctx, x, size, alpha, beta, k):
        channels = x.shape[1]
        steps = torch.arange(channels, device=x.device)
        band = ((steps[:, None] - steps[None, :]).abs() <= size // 2).to(x.dtype)
        scale = _window_sum(x * x, band).mul_(alpha / size).add_(k)
        y = _power(scale, beta).mul_(x)
        ctx.save_for_backward(x, scale, band)
        ctx.settings = size, alpha, beta
        return y

    @staticmethod
    def backward(ctx, dy):
        # dx_i = dy_i scale_i^-beta - 2 alpha beta / n * x_i * sum over the window of dy_j y_j / scale_j
        x, scale, band = ctx.saved_tensors
        size, alpha, beta = ctx.settings
        power = _power(scale, beta)
        ratio = torch.mul(power, x).mul_(dy).div_(scale)
        dx = _window_sum(ratio, band).mul_(x).mul_(-2 * alpha * beta / size)
        return dx.addcmul_(power, dy), None, None, None, None


def _window_sum(x, band):
    """Sum over the channels (axis 1) that `band` (C, C) marks; result in the memory format of x."""
    moved = x.movedim(1, -1)
    if not moved.is_contiguous():  # (N, C, spatial...) in memory: multiply from the left
        return torch.matmul(band, x.reshape(x.shape[0], x.shape[1], -1)).view(x.shape)
    return torch.matmul(moved.reshape(-1, x.shape[1]), band).view(moved.shape).movedim(-1, 1)


@register("LRN")
class LRN(Layer):
    def setup(self, shapes):
        p = self.param.lrn_param
        if p.local_size % 2 == 0:
            self.fail(f"local_size must be odd, it is {p.local_size}")
        self.across = p.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS

    def reshape(self, shapes):
        if len(shapes[0]) != 4:
            self.fail(f"wants a bottom of 4 axes (N, C, H, W), not {shapes[0]}")
        return [shapes[0]]

    def forward(self, x):
        p = self.param.lrn_param
        if self.across:
            return _AcrossChannels.apply(x, p.local_size, p.alpha, p.beta, p.k)
        mean = F.avg_pool2d(x * x, p.local_size, 1, (p.local_size - 1) // 2, count_include_pad=True)
        return x * (1 + p.alpha * mean).pow(-p.beta)
