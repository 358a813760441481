"""Pooling: MAX or AVE over windows of the last two axes of an (N, C, H, W) bottom.

Honours pool, kernel_size, stride, pad (and their _h/_w forms), global_pooling, round_mode; `engine`
changes nothing.  Unlike torch's defaults, the output size is rounded up (CEIL), and a last window
that would start at or beyond H + pad is dropped only if there is padding.

AVE divides by the size of the window clipped to H + pad.  MAX can give a second top with the flat
index (within H x W) of each maximum, the first one in row-major order.  The gradient of MAX goes to
the maxima that the last forward found, or that the second top names.

A kernel larger than the padded bottom is fine as long as the output has at least one window.  A
window wholly outside the bottom (stride > kernel with CEIL), where Caffe computes -FLT_MAX or NaN,
is refused.  STOCHASTIC is refused: Caffe has it on the GPU only.
"""

import torch
import torch.nn.functional as F

from caffe.layer import AS_GIVEN, FULL, Grads, Layer, Needs, Shapes, Tensors, Tops, register
from caffe.proto import caffe_pb2

Pool = caffe_pb2.PoolingParameter


@register("Pooling")
class Pooling(Layer):
    arithmetic = AS_GIVEN
    num_top = (1, 2)

    def setup(self, shapes: Shapes) -> None:
        p = self.param.pooling_param
        self.maximum = p.pool == Pool.MAX
        if p.pool == Pool.STOCHASTIC:
            self.fail("pool: STOCHASTIC is not supported; use MAX or AVE")
        if len(self.param.top) > 1 and not self.maximum:
            self.fail("gives a second top (the mask) for pool: MAX only")
        if len(self.param.top) > 1:
            self.arithmetic = FULL  # bfloat16 does not hold indices
        self.pad = (
            (p.pad_h, p.pad_w) if p.HasField("pad_h") or p.HasField("pad_w") else (p.pad, p.pad)
        )
        self.stride = (p.stride_h, p.stride_w) if p.HasField("stride_h") else (p.stride, p.stride)
        if p.global_pooling:
            if p.HasField("kernel_size") or p.HasField("kernel_h") or p.HasField("kernel_w"):
                self.fail("global_pooling takes its kernel from the bottom; drop kernel_size")
            if self.pad != (0, 0) or self.stride != (1, 1):
                self.fail("global_pooling needs pad 0 and stride 1")
            self.kernel = None
        elif p.HasField("kernel_size"):
            if p.HasField("kernel_h") or p.HasField("kernel_w"):
                self.fail("give kernel_size or kernel_h and kernel_w, not both")
            self.kernel = (p.kernel_size, p.kernel_size)
        elif p.HasField("kernel_h") and p.HasField("kernel_w"):
            self.kernel = (p.kernel_h, p.kernel_w)
        else:
            self.fail("kernel_size (or kernel_h and kernel_w) is missing")
        if self.kernel and (min(self.kernel) < 1 or min(self.stride) < 1):
            self.fail(f"kernel {self.kernel} and stride {self.stride} must be at least 1")
        if self.kernel and any(q >= k for q, k in zip(self.pad, self.kernel, strict=True)):
            self.fail(f"pad {self.pad} must be smaller than the kernel {self.kernel}")

    def reshape(self, shapes: Shapes) -> Shapes:
        shape = shapes[0]
        if len(shape) != 4:
            self.fail(f"needs a bottom of 4 axes (N, C, H, W), not {shape}")
        if self.param.pooling_param.global_pooling:
            self.kernel = shape[2:]
        self.size = tuple(
            self._out(*args)
            for args in zip(shape[2:], self.kernel, self.stride, self.pad, strict=True)
        )
        return [(*shape[:2], *self.size)] * len(self.param.top)

    def _out(self, size: int, kernel: int, stride: int, pad: int):
        room = size + 2 * pad - kernel
        floor = self.param.pooling_param.round_mode == Pool.FLOOR
        out = (room // stride if floor else -(-room // stride)) + 1
        if pad and (out - 1) * stride >= size + pad:
            out -= 1
        if out < 1:
            self.fail(
                f"kernel {kernel} is larger than the padded bottom ({size} + 2 * {pad}), and stride"
                f" {stride} leaves no window"
            )
        if (out - 1) * stride >= size + pad:
            self.fail(
                f"the last of {out} windows (kernel {kernel}, stride {stride}) lies wholly outside"
                f" the bottom of size {size}; Caffe would give -FLT_MAX or NaN there. Use"
                " round_mode: FLOOR or a stride not above the kernel"
            )
        return out

    def _extra(self, size: int, axis: int):
        """How far the last window reaches beyond the padded bottom; negative if it ends before."""
        return (
            (self.size[axis] - 1) * self.stride[axis]
            + self.kernel[axis]
            - size
            - 2 * self.pad[axis]
        )

    def forward(self, x: torch.Tensor) -> Tops:
        height, width = x.shape[2:]
        fits = all(
            k <= n + 2 * p for k, n, p in zip(self.kernel, x.shape[2:], self.pad, strict=True)
        )
        extra = self._extra(height, 0), self._extra(width, 1)
        torch_agrees = (
            fits
            and all(2 * p <= k for p, k in zip(self.pad, self.kernel, strict=True))
            and self._torch_size(height, 0) == self.size[0]
            and self._torch_size(width, 1) == self.size[1]
        )
        if self.maximum:
            return self._max(x, extra, torch_agrees)
        if torch_agrees:
            return F.avg_pool2d(
                x,
                self.kernel,
                self.stride,
                self.pad,
                ceil_mode=max(extra) > 0,
                count_include_pad=True,
            )
        sums = F.avg_pool2d(
            self._padded(x, extra, 0.0), self.kernel, self.stride, divisor_override=1
        )
        return sums / self._window_sizes(height, width, x.device)

    def _torch_size(self, size: int, axis: int):
        """The output size of torch's pooling for `size`, with ceil_mode if round_mode is CEIL."""
        kernel, stride, pad = self.kernel[axis], self.stride[axis], self.pad[axis]
        ceil = self.param.pooling_param.round_mode == Pool.CEIL
        out = (size + 2 * pad - kernel + (stride - 1 if ceil else 0)) // stride + 1
        return out - 1 if ceil and (out - 1) * stride >= size + pad else out

    def _padded(self, x: torch.Tensor, extra: tuple[int, int], value: float):
        bottom, right = self.pad[0] + extra[0], self.pad[1] + extra[1]
        return F.pad(x, (self.pad[1], right, self.pad[0], bottom), value=value)

    def _window_sizes(self, height: int, width: int, device: torch.device):
        sizes = []
        for axis, size in enumerate((height, width)):
            start = torch.arange(self.size[axis], device=device) * self.stride[axis]
            sizes.append((start + self.kernel[axis]).clamp(max=size + 2 * self.pad[axis]) - start)
        return sizes[0][:, None] * sizes[1][None, :]

    def _max(self, x: torch.Tensor, extra: tuple[int, int], torch_agrees: bool):
        mask = len(self.param.top) > 1
        indices = mask or self.keeps
        width = x.shape[3]
        ceil = max(extra) > 0
        if torch_agrees:
            y = F.max_pool2d(
                x, self.kernel, self.stride, self.pad, ceil_mode=ceil, return_indices=indices
            )
        else:
            y = F.max_pool2d(
                self._padded(x, extra, -torch.inf), self.kernel, self.stride, return_indices=indices
            )
        if not indices:
            return y
        y, index = y
        if not torch_agrees:
            padded_width = width + 2 * self.pad[1] + extra[1]
            index = (
                (index // padded_width - self.pad[0]) * width + index % padded_width - self.pad[1]
            )
        if mask:
            return y, index.to(x.dtype)
        self.remember(index=index)
        return y

    def backward(self, bottoms: Tensors, tops: Tensors, diffs: Tensors, needs: Needs) -> Grads:
        x, dy = bottoms[0], diffs[0]
        if not self.maximum:
            return super().backward(bottoms, tops, diffs, needs)
        index = tops[1].long() if len(tops) > 1 else self.recall("index", dy.shape, torch.int64)
        index = self._within(index.reshape(*dy.shape[:2], -1), x.shape[2] * x.shape[3])
        spare = self.spare_memory(0)
        grad = x.new_zeros(x.shape) if spare is None else spare.zero_()
        flat = grad.view(*x.shape[:2], -1)
        flat.scatter_add_(2, index, dy.reshape(*dy.shape[:2], -1))
        return [grad]

    @staticmethod
    def _within(index: torch.Tensor, size: int) -> torch.Tensor:
        """Indices from 0 to size - 1; on the CPU it is faster to look than to copy."""
        if index.device.type == "cpu" and index.numel():
            least, most = (int(bound) for bound in torch.aminmax(index))
            if least >= 0 and most < size:
                return index
        return index.clamp(0, size - 1)
