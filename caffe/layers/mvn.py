"""MVN: each channel of each image with its mean subtracted and divided by its standard deviation + eps.

Honours normalize_variance, across_channels (mean and deviation of the whole image) and eps, which is added to the
deviation, not to the variance.  The gradient is Caffe's, which takes deviation + eps for the deviation.
"""

import torch

from caffe.layer import Layer, register


class _Normalize(torch.autograd.Function):
    """Rows of (R, D): y = (x - mean) / (deviation + eps), dx = (dy - mean(dy) - y mean(y dy)) / (deviation + eps)."""

    @staticmethod
    def forward(ctx, rows, eps):
        centred = rows - rows.mean(1, keepdim=True)
        deviation = centred.square().mean(1, keepdim=True).sqrt() + eps
        y = centred / deviation
        ctx.save_for_backward(y, deviation)
        return y

    @staticmethod
    def backward(ctx, dy):
        y, deviation = ctx.saved_tensors
        return (dy - dy.mean(1, keepdim=True) - y * (y * dy).mean(1, keepdim=True)) / deviation, None


@register("MVN")
class MVN(Layer):
    def reshape(self, shapes):
        if len(shapes[0]) > 4:
            self.fail(f"wants a bottom of at most 4 axes, not {shapes[0]}")
        return [shapes[0]]

    def forward(self, x):
        p = self.param.mvn_param
        leading = x.shape[:1] if p.across_channels else x.shape[:2]
        rows = x.reshape(leading.numel(), -1)
        if p.normalize_variance:
            return _Normalize.apply(rows, p.eps).view(x.shape)
        return (rows - rows.mean(1, keepdim=True)).view(x.shape)
