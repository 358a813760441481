"""MVN: each channel of each image with its mean subtracted and divided by its standard deviation +
eps.

Honours normalize_variance, across_channels (mean and deviation of the whole image) and eps, which
is added to the deviation, not to the variance.  The gradient is Caffe's, which takes deviation +
eps for the deviation; it uses the top as it is and the deviations of the last forward.
"""

import torch

from caffe.layer import VALUES, Layer, register


class _Normalize(torch.autograd.Function):
    """Rows of (R, D): y = (x - mean) / (deviation + eps), dx = (dy - mean(dy) - y mean(y dy)) /
    (deviation + eps).
    """

    @staticmethod
    def forward(ctx, rows, deviation):
        y = (rows - rows.mean(1, keepdim=True)) / deviation
        ctx.save_for_backward(y, deviation)
        return y

    @staticmethod
    def backward(ctx, dy):
        return _gradient(dy, *ctx.saved_tensors), None


def _gradient(dy, y, deviation):
    return (dy - dy.mean(1, keepdim=True) - y * (y * dy).mean(1, keepdim=True)) / deviation


@register("MVN")
class MVN(Layer):
    always_propagates = True
    reads_top = VALUES

    def reshape(self, shapes):
        if len(shapes[0]) > 4:
            self.fail(f"wants a bottom of at most 4 axes, not {shapes[0]}")
        return [shapes[0]]

    def forward(self, x):
        rows = self._rows(x)
        if not self.param.mvn_param.normalize_variance:
            return (rows - rows.mean(1, keepdim=True)).view(x.shape)
        deviation = self._deviation(rows.detach())
        self.remember(deviation=deviation)
        return _Normalize.apply(rows, deviation).view(x.shape)

    def _rows(self, x):
        """What is normalised together, as rows: (N, C H W) or (N C, H W)."""
        leading = x.shape[:1] if self.param.mvn_param.across_channels else x.shape[:2]
        return x.reshape(leading.numel(), -1)

    def _deviation(self, rows):
        return rows.var(1, unbiased=False, keepdim=True).sqrt() + self.param.mvn_param.eps

    def backward(self, bottoms, tops, diffs, needs):
        if not self.param.mvn_param.normalize_variance:
            return super().backward(bottoms, tops, diffs, needs)
        if not self.remembered:  # before any forward
            self.remembered = {"deviation": self._deviation(self._rows(bottoms[0]))}
        dy, y = self._rows(diffs[0]), self._rows(tops[0])
        return [_gradient(dy, y, self.recall("deviation", (len(dy), 1))).view(diffs[0].shape)]
