"""Deconvolution: the transpose of a Convolution, which spreads each input over a window of the
output.

Honours what Convolution does.  Weights are (C_in, num_output / group, kernel...); the output size
is stride (in - 1) + dilation (kernel - 1) + 1 - 2 pad.
"""

import torch.nn.functional as F

from caffe.layer import register
from caffe.layers.convolution import Convolution


@register("Deconvolution")
class Deconvolution(Convolution):
    CONVOLVE = {
        0: F.conv_transpose1d,
        1: F.conv_transpose1d,
        2: F.conv_transpose2d,
        3: F.conv_transpose3d,
    }
    transposed = True

    def weight_shape(self):
        return (self.channels, self.num_output // self.group, *self.kernel)

    def sizes(self, spatial):
        sizes = [
            s * (size - 1) + d * (k - 1) + 1 - 2 * p
            for size, k, s, p, d in zip(
                spatial, self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        ]
        if min(sizes, default=1) < 1:
            self.fail(
                f"pad {self.pad} leaves nothing of the output for a bottom of spatial size {spatial}"
            )
        return sizes

    def convolve(self, x, weight, bias):
        function = self.CONVOLVE[len(self.kernel)]
        return function(
            x, weight, bias, self.stride or 1, self.pad or 0, 0, self.group, self.dilation or 1
        )
