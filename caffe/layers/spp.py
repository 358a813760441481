"""SPP (spatial pyramid pooling): the bottom pooled into 1 x 1, 2 x 2, 4 x 4, ... bins.

The bins of all levels are flattened and concatenated: the top is (N, C (1 + 4 + 16 + ...)), or
(N, C, 1, 1) for a single level.  Honours pyramid_height (number of levels) and pool (MAX or AVE;
STOCHASTIC is refused, as by Pooling); `engine` changes nothing.  Each level is a Pooling with
kernel and stride ceil(H / bins), padded to fit; torch's adaptive pooling has windows of several
sizes and no padding.
"""

import math

import torch

from caffe.layer import Grads, Layer, Needs, Shape, Shapes, Tensors, register
from caffe.layers.pooling import Pooling
from caffe.proto import caffe_pb2


@register("SPP")
class SPP(Layer):
    in_place = False

    def setup(self, shapes: Shapes) -> None:
        if self.param.spp_param.pyramid_height < 1:
            self.fail("pyramid_height must be given, and at least 1")

    def reshape(self, shapes: Shapes) -> Shapes:
        shape = shapes[0]
        if len(shape) != 4:
            self.fail(f"needs a bottom of 4 axes (N, C, H, W), not {shape}")
        self.levels = [
            self._level(level, shape) for level in range(self.param.spp_param.pyramid_height)
        ]
        if len(self.levels) == 1:
            return [(*shape[:2], 1, 1)]
        return [(shape[0], shape[1] * sum(4**level for level in range(len(self.levels))))]

    def _level(self, level: int, shape: Shape):
        """The Pooling that cuts the bottom into 2^level x 2^level bins."""
        bins = 2**level
        kernel = [-(-size // bins) for size in shape[2:]]
        pad = [(k * bins - size + 1) // 2 for k, size in zip(kernel, shape[2:], strict=True)]
        if any(p >= k for p, k in zip(pad, kernel, strict=True)):
            self.fail(
                f"a bottom of shape {shape} is too small for the {bins} x {bins} bins of pyramid"
                f" level {level}"
            )
        param = caffe_pb2.LayerParameter(
            name=f"{self.name}, level {level}", type="Pooling", phase=self.phase, top=["bins"]
        )
        p = param.pooling_param
        p.pool = self.param.spp_param.pool  # both enums have the same values
        p.kernel_h, p.kernel_w = p.stride_h, p.stride_w = kernel
        p.pad_h, p.pad_w = pad
        pooling = Pooling(param, self.device)
        pooling.setup([shape])
        pooling.reshape([shape])
        return pooling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for pooling in self.levels:
            pooling.keeps = self.keeps
        bins = [pooling.forward(x) for pooling in self.levels]
        return bins[0] if len(bins) == 1 else torch.cat([b.flatten(1) for b in bins], 1)

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        shapes = [(*bottoms[0].shape[:2], *pooling.size) for pooling in self.levels]
        parts = (
            diffs[0].reshape(len(diffs[0]), -1).split([math.prod(shape[1:]) for shape in shapes], 1)
        )
        grads = [
            pooling.backward(bottoms, [part], [part.reshape(shape)], needs)[0]
            for pooling, part, shape in zip(self.levels, parts, shapes, strict=True)
        ]
        return [sum(grads)]
