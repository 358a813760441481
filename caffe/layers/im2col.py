"""Im2col: every window of the bottom as a column of C * kernel values.

Honours convolution_param: kernel_size, stride, pad, dilation (and their _h/_w forms), axis, over
any number of spatial axes; `force_nd_im2col` changes nothing.  The top is (N, C * kernel, H_out,
W_out); torch's unfold flattens the last two axes.
"""

import itertools
import math

import torch
import torch.nn.functional as F

from caffe.layer import Layer, Shapes, register
from caffe.layer_parts.spatial import conv_sizes, windows


@register("Im2col")
class Im2col(Layer):
    always_propagates = True
    in_place = False

    def setup(self, shapes: Shapes) -> None:
        p = self.param.convolution_param
        self.channel_axis = self.axis(p.axis, shapes[0])
        n = len(shapes[0]) - self.channel_axis - 1
        if n < 1:
            self.fail(f"has no spatial axes (bottom {shapes[0]}, axis {p.axis})")
        self.kernel, self.stride, self.pad, self.dilation = windows(self, p, n)

    def reshape(self, shapes: Shapes) -> Shapes:
        shape = shapes[0]
        spatial = shape[self.channel_axis + 1 :]
        if len(spatial) != len(self.kernel):
            self.fail(f"was made for {len(self.kernel)} spatial axes, the bottom is now {shape}")
        self.size = conv_sizes(self, spatial)
        self.shape = (
            *shape[: self.channel_axis],
            shape[self.channel_axis] * math.prod(self.kernel),
            *self.size,
        )
        return [self.shape]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, *x.shape[self.channel_axis :])
        x = F.pad(x, [p for pad in reversed(self.pad) for p in (pad, pad)])
        parts = []
        for offsets in itertools.product(*map(range, self.kernel)):
            begins = [o * d for o, d in zip(offsets, self.dilation, strict=True)]
            cut = [
                slice(b, b + (n - 1) * s + 1, s)
                for b, n, s in zip(begins, self.size, self.stride, strict=True)
            ]
            parts.append(x[(slice(None), slice(None), *cut)])
        return torch.stack(parts, 2).reshape(self.shape)
