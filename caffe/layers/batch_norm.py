"""BatchNorm: (x - mean) / sqrt(variance + eps) per channel (axis 1).

Scale and shift are left to a Scale layer.  Honours use_global_stats (default: in TEST),
moving_average_fraction, eps.

There are three blobs, sums that decay: mean * s, variance * s, and s.  With batch statistics s
becomes s * fraction + 1; the unbiased variance is added to the sum, and the biased one normalises.
With global statistics both sums are divided by s (s = 0: mean and variance are 0).

The blobs are not learnt.  Three `param` entries get lr_mult and decay_mult 0 whatever they say, and
keep their names, so that layers can share their statistics; fewer entries must have lr_mult 0.

The gradient uses what the last forward kept: the normalised values and the deviations.
"""

import math

import torch
import torch.nn.functional as F

from caffe.layer import Grads, Layer, Needs, Shapes, Tensors, register


@register("BatchNorm")
class BatchNorm(Layer):
    always_propagates = True

    def setup(self, shapes: Shapes) -> None:
        p = self.param.batch_norm_param
        self.use_global = p.use_global_stats if p.HasField("use_global_stats") else not self.train
        if len(shapes[0]) < 2:
            self.fail(f"needs a bottom of at least 2 axes, not {shapes[0]}")
        self.channels = shapes[0][1]
        self.eps = max(p.eps, 1e-30)  # torch refuses 0
        for shape in ((self.channels,), (self.channels,), (1,)):
            self.add_blob(shape)
        if len(self.param.param) == 3:
            for spec in self.param.param:
                spec.lr_mult = spec.decay_mult = 0
        for spec in self.param.param:
            if spec.lr_mult != 0:
                self.fail(
                    f"its statistics are not learnt: param.lr_mult must be 0, not {spec.lr_mult:g}"
                )
        while len(self.param.param) < 3:
            self.param.param.add(lr_mult=0)

    def reshape(self, shapes: Shapes) -> Shapes:
        if len(shapes[0]) < 2 or shapes[0][1] != self.channels:
            self.fail(f"was made for {self.channels} channels, the bottom is now {shapes[0]}")
        return [shapes[0]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.use_global:
            with torch.no_grad():
                mean, variance = self._global_statistics()
                self.remember(deviation=(variance + self.eps).sqrt())
            return F.batch_norm(x, mean, variance, eps=self.eps)
        count = math.prod(x.shape) // self.channels
        if count == 1:  # a single value per channel is its own mean; torch refuses it
            mean, variance = x.detach().reshape(-1), torch.zeros(self.channels, device=x.device)
            y = (x - x.detach()) * 0
        else:
            mean = torch.zeros(self.channels, device=x.device)
            variance = torch.zeros(self.channels, device=x.device)
            # with momentum 1 torch leaves this batch's mean and unbiased variance in them
            y = F.batch_norm(x, mean, variance, training=True, momentum=1.0, eps=self.eps)
        self._add_to_statistics(mean, variance)
        if self.keeps:  # a copy, as a layer above may overwrite the top
            self.remember(
                y=y.detach().clone(), deviation=(variance * ((count - 1) / count) + self.eps).sqrt()
            )
        return y

    def _global_statistics(self):
        """Mean and variance (C,) that the three blobs hold."""
        mean, variance, s = (blob.tensor() for blob in self.blobs)
        factor = torch.where(s == 0, torch.zeros_like(s), 1 / s)
        return mean * factor, variance * factor

    @torch.no_grad()
    def _add_to_statistics(self, mean: torch.Tensor, variance: torch.Tensor):
        fraction = self.param.batch_norm_param.moving_average_fraction
        for blob, value in zip(self.blobs, (mean, variance, 1.0), strict=True):
            blob.tensor().mul_(fraction).add_(value)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        (x,), (dy,) = bottoms, diffs
        if (
            not self.remembered
        ):  # no forward yet: compute what it would keep, without counting the batch
            self._remember_without_counting(x)
        deviation = self.recall("deviation", (self.channels,)).view(-1, *(1,) * (x.dim() - 2))
        if not self.use_global:
            y = self.recall("y", x.shape)
            axes = [i for i in range(x.dim()) if i != 1]
            dy = dy - dy.mean(axes, keepdim=True) - y * (y * dy).mean(axes, keepdim=True)
        return [dy / deviation, None, None, None]

    def _remember_without_counting(self, x: torch.Tensor):
        if self.use_global:
            mean, variance = self._global_statistics()
        else:
            rows = x.movedim(1, 0).reshape(self.channels, -1)
            mean, variance = rows.mean(1), rows.var(1, unbiased=False)
        shape = (-1, *(1,) * (x.dim() - 2))
        deviation = (variance + self.eps).sqrt()
        self.remembered = {
            "y": (x - mean.view(shape)) / deviation.view(shape),
            "deviation": deviation,
        }
