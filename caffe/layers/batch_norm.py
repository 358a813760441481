"""BatchNorm: (x - mean) / sqrt(variance + eps) for each channel (axis 1); scale and shift are a Scale layer's task.

Honours use_global_stats (default: in TEST), moving_average_fraction, eps.  Three blobs, sums that decay: mean * s,
variance * s, and s.  With batch statistics s becomes s * fraction + 1, and the unbiased variance is added, while the
biased one normalises; with global ones both are divided by s (s = 0: mean and variance are 0).
The blobs are not learnt: their lr_mult is 0, and any other is refused.
"""

import math

import torch
import torch.nn.functional as F

from caffe.layer import Layer, register


@register("BatchNorm")
class BatchNorm(Layer):
    def setup(self, shapes):
        p = self.param.batch_norm_param
        self.use_global = p.use_global_stats if p.HasField("use_global_stats") else not self.train
        if len(shapes[0]) < 2:
            self.fail(f"wants a bottom of at least 2 axes, not {shapes[0]}")
        self.channels = shapes[0][1]
        self.eps = max(p.eps, 1e-30)  # torch refuses 0
        for shape in ((self.channels,), (self.channels,), (1,)):
            self.add_blob(shape)
        for spec in self.param.param:
            if spec.lr_mult != 0:
                self.fail(f"its statistics are not learnt: param.lr_mult must be 0, it is {spec.lr_mult:g}")
        while len(self.param.param) < 3:
            self.param.param.add(lr_mult=0)

    def reshape(self, shapes):
        if len(shapes[0]) < 2 or shapes[0][1] != self.channels:
            self.fail(f"was made for {self.channels} channels, the bottom is now {shapes[0]}")
        return [shapes[0]]

    def forward(self, x):
        if self.use_global:
            with torch.no_grad():
                mean, variance, s = self.params
                factor = torch.where(s == 0, torch.zeros_like(s), 1 / s)
                mean, variance = mean * factor, variance * factor
            return F.batch_norm(x, mean, variance, eps=self.eps)
        if math.prod(x.shape) == self.channels:  # one value a channel is its own mean; torch refuses it
            self._remember(x.detach().reshape(-1), torch.zeros(self.channels, device=x.device))
            return (x - x.detach()) * 0
        mean = torch.zeros(self.channels, device=x.device)
        variance = torch.zeros(self.channels, device=x.device)
        # with momentum 1 torch leaves this batch's mean and unbiased variance in them
        y = F.batch_norm(x, mean, variance, training=True, momentum=1.0, eps=self.eps)
        self._remember(mean, variance)
        return y

    @torch.no_grad()
    def _remember(self, mean, variance):
        fraction = self.param.batch_norm_param.moving_average_fraction
        for blob, value in zip(self.blobs, (mean, variance, 1.0), strict=True):
            blob.tensor().mul_(fraction).add_(value)
