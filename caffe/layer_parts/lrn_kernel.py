"""LRN across channels in one kernel each way, for GPUs with Triton.

The plain way (layers/lrn.py) is some 20 kernels each way, and reads and writes images as often.
This one reads each number once from the GPU's memory; its neighbours are in the cache by then.  It
is not measured yet: trials.py takes it where it is the faster way and gives the same numbers.
"""

from __future__ import annotations

import importlib.util

import torch
from torch.autograd.function import FunctionCtx

POSITIONS, CHANNELS = 16, 32  # of an image that one program of the kernel computes
# With 8 warps a thread has two of these numbers.  For an H100 the compiler gives it 31 registers
# forward and 48 backward, so that 40 or more of 64 warps can run at once; the larger the tile, the
# fewer (16 x 64 by 4 warps: 226 registers backward, 8 warps).
WARPS = 8


def exists() -> bool:
    """Whether Triton is installed, as it is with PyTorch for CUDA."""
    return importlib.util.find_spec("triton") is not None


class AcrossChannels(torch.autograd.Function):
    """y = x scale^-beta, scale = k + alpha / size * (the sum of x^2 over `size` channels)."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, size: int, alpha: float, beta: float, k: float
    ) -> torch.Tensor:
        x = _dense(x)
        y, scales = torch.empty_like(x), torch.empty_like(x)
        from caffe.layer_parts import lrn_triton

        grid, where = _places(x)
        settings = alpha / size, k, beta, size // 2, POSITIONS, CHANNELS
        lrn_triton.forward[grid](x, y, scales, *where, *settings, num_warps=WARPS)
        ctx.save_for_backward(x, scales)
        ctx.settings = size, alpha, beta
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scales = ctx.saved_tensors
        size, alpha, beta = ctx.settings
        from caffe.layer_parts import lrn_triton

        dx, dy = torch.empty_like(x), _like(dy, x)
        grid, where = _places(x)
        settings = 2 * alpha * beta / size, beta, size // 2, POSITIONS, CHANNELS
        lrn_triton.backward[grid](x, scales, dy, dx, *where, *settings, num_warps=WARPS)
        return dx, None, None, None, None


def _dense(x: torch.Tensor) -> torch.Tensor:
    """x with its channels last in memory, or first, and no gaps."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def _like(tensor: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.stride() == x.stride() else torch.empty_like(x).copy_(tensor)


def _places(x: torch.Tensor) -> tuple[tuple[int, int], tuple[int, ...]]:
    """The grid of programs; and positions, positions per image, channels and the two steps."""
    count, channels, height, width = x.shape
    inner = height * width
    last = x.is_contiguous(memory_format=torch.channels_last)
    steps = (1, channels) if last else (inner, 1)
    grid = -(-count * inner // POSITIONS), -(-channels // CHANNELS)
    return grid, (count * inner, inner, channels, *steps)
