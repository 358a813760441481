"""Convolution: num_output filters over 0 to 3 spatial axes (0: a matrix product per item).

Honours num_output, bias_term, kernel_size, stride, pad, dilation (and their _h/_w forms), group,
axis, weight_filler, bias_filler.  `engine` and `force_nd_im2col` choose an implementation in Caffe
and change nothing here.  Every bottom is convolved with the same weights and gives one top.

Output size: floor((in + 2 pad - dilation (kernel - 1) - 1) / stride) + 1.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F

from caffe.layer import REDUCED, Grads, Layer, Needs, Shape, Shapes, Tensors, register
from caffe.layer_parts import convolution_ways
from caffe.layer_parts.spatial import conv_sizes, windows


@register("Convolution")
class Convolution(Layer):
    arithmetic = REDUCED
    num_bottom = (1, None)
    num_top = (1, None)
    CONVOLVE: ClassVar = {0: F.conv1d, 1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
    transposed = False

    def setup(self, shapes: Shapes) -> None:
        p = self.param.convolution_param
        if len(self.param.top) != len(self.param.bottom):
            self.fail(
                f"has {len(self.param.bottom)} bottoms and {len(self.param.top)} tops; there must"
                " be one top per bottom"
            )
        self.channel_axis = self.axis(p.axis, shapes[0])
        n = len(shapes[0]) - self.channel_axis - 1
        if n not in self.CONVOLVE:
            self.fail(
                f"has {n} spatial axes (bottom {shapes[0]}, axis {p.axis}); 0 to 3 are supported"
            )
        self.kernel, self.stride, self.pad, self.dilation = windows(self, p, n)
        self.group, self.num_output = p.group, p.num_output
        channels = shapes[0][self.channel_axis]
        if self.num_output < 1:
            self.fail("num_output must be at least 1")
        if self.group < 1 or channels % self.group or self.num_output % self.group:
            self.fail(
                f"group {self.group} must divide both the {channels} input channels and num_output"
                f" {self.num_output}"
            )
        self.channels = channels
        self.add_blob(self.weight_shape(), p.weight_filler)
        if p.bias_term:
            self.add_blob((self.num_output,), p.bias_filler)

    def reshape(self, shapes: Shapes) -> Shapes:
        tops = []
        for shape in shapes:
            if shape != shapes[0]:
                self.fail(f"all bottoms must have one shape; there are {shapes[0]} and {shape}")
            if len(shape) <= self.channel_axis or shape[self.channel_axis] != self.channels:
                self.fail(f"was made for {self.channels} channels, the bottom is now {shape}")
            spatial = self.sizes(shape[self.channel_axis + 1 :])
            tops.append((*shape[: self.channel_axis], self.num_output, *spatial))
        return tops

    def forward(self, *bottoms: torch.Tensor) -> Tensors:
        weight = self.params[0]
        bias = self.params[1] if len(self.params) > 1 else None
        tops = []
        for x in bottoms:
            leading = x.shape[: self.channel_axis]
            if self.kernel:
                y = self.convolve(self._batch(x), weight, bias)
            else:  # torch convolves over one axis or more
                y = self.convolve(self._batch(x).unsqueeze(2), weight.unsqueeze(2), bias).squeeze(2)
            tops.append(y if self.channel_axis == 1 else y.reshape(*leading, *y.shape[1:]))
        return tops

    def _batch(self, x: torch.Tensor):
        """`x` with a single batch axis in place of all axes before the channels."""
        return x if self.channel_axis == 1 else x.reshape(-1, *x.shape[self.channel_axis :])

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        weight = self.params[0] if self.kernel else self.params[0].unsqueeze(2)
        n = max(1, len(self.kernel))
        stride, pad, dilation = self.stride or [1], self.pad or [0], self.dilation or [1]
        of_params, grads = needs[len(bottoms) :], []
        sums = [
            torch.zeros_like(p) if need else None
            for p, need in zip(self.params, of_params, strict=True)
        ]
        for x, dy, need in zip(bottoms, diffs, needs, strict=False):
            shape, (x, dy) = x.shape, (self._batch(x), self._batch(dy))
            if not self.kernel:
                x, dy = x.unsqueeze(2), dy.unsqueeze(2)
            wanted = [need, of_params[0], len(of_params) > 1 and of_params[1]]
            found = torch.ops.aten.convolution_backward(
                dy,
                x,
                weight,
                [self.num_output],
                stride,
                pad,
                dilation,
                self.transposed,
                [0] * n,
                self.group,
                wanted,
            )
            grads.append(found[0].reshape(shape) if need else None)
            for total, part in zip(sums, found[1:], strict=False):
                if total is not None:
                    total += part.view(total.shape)
        return [*grads, *sums]

    # what Deconvolution does differently
    def weight_shape(self) -> Shape:
        """The shape of the weights."""
        return (self.num_output, self.channels // self.group, *self.kernel)

    def sizes(self, spatial: Shape) -> list[int]:
        """The top's spatial sizes for those of the bottom."""
        return conv_sizes(self, spatial)

    def convolve(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """torch's convolution of x (N, C, spatial...) with the layer's settings."""
        settings = self.stride or 1, self.pad or 0, self.dilation or 1, self.group
        if self.trials is not None and len(self.kernel) == 2:
            ways = convolution_ways.ways(*settings)
            return self.trials.run(self.name, ways, (x, weight, bias))
        return self.CONVOLVE[len(self.kernel)](x, weight, bias, *settings)
