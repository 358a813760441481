"""Deconvolution: the transpose of a Convolution; it spreads each input over a window of the output.

Honours what Convolution honours.  Weights are (C_in, num_output / group, kernel...); the output
size is stride (in - 1) + dilation (kernel - 1) + 1 - 2 pad.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F

from caffe.layer import Shape, register
from caffe.layers.convolution import Convolution


@register("Deconvolution")
class Deconvolution(Convolution):
    CONVOLVE: ClassVar = {
        0: F.conv_transpose1d,
        1: F.conv_transpose1d,
        2: F.conv_transpose2d,
        3: F.conv_transpose3d,
    }
    transposed = True

    def weight_shape(self) -> Shape:
        return (self.channels, self.num_output // self.group, *self.kernel)

    def sizes(self, spatial: Shape) -> list[int]:
        sizes = [
            s * (size - 1) + d * (k - 1) + 1 - 2 * p
            for size, k, s, p, d in zip(
                spatial, self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        ]
        if min(sizes, default=1) < 1:
            self.fail(f"pad {self.pad} leaves no output for a bottom of spatial size {spatial}")
        return sizes

    def convolve(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        function = self.CONVOLVE[len(self.kernel)]
        return function(
            x, weight, bias, self.stride or 1, self.pad or 0, 0, self.group, self.dilation or 1
        )
