"""Ways to compute one convolution of images; all give the same numbers but for rounding.

A library may be slow with groups, or with the three channels of a photograph.  See trials.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from caffe.trials import Way

MULTIPLES = (4, 8)  # of channels that tensor cores take at once


def ways(
    stride: Sequence[int] | int, pad: Sequence[int] | int, dilation: Sequence[int] | int, group: int
) -> dict[str, Way]:
    """{name: function of x (N, C, H, W), weight and bias}; the first is PyTorch's own."""

    def convolve(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, groups: int = group
    ) -> torch.Tensor:
        return F.conv2d(x, weight, bias, stride, pad, dilation, groups)

    def split(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Each group by itself."""
        biases = [None] * group if bias is None else bias.chunk(group)
        parts = zip(x.chunk(group, 1), weight.chunk(group), biases, strict=True)
        return torch.cat([convolve(*part, groups=1) for part in parts], 1)

    def dense(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """One product; the weights between groups are 0."""
        width = weight.shape[1]
        blocks = [
            F.pad(part, (0, 0, 0, 0, i * width, (group - 1 - i) * width))
            for i, part in enumerate(weight.chunk(group))
        ]
        return convolve(x, torch.cat(blocks), bias, groups=1)

    def other_layout(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Channels last in memory if they are not, and the other way round."""
        formats = [torch.channels_last, torch.contiguous_format]
        if x.is_contiguous(memory_format=torch.channels_last):
            formats.reverse()
        there, back = formats
        y = convolve(x.contiguous(memory_format=there), weight, bias)
        return y.contiguous(memory_format=back)

    def padded(multiple: int) -> Way:
        def run(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
            """Channels of zeros up to a multiple of 4 or 8."""
            more = (0, 0, 0, 0, 0, -x.shape[1] % multiple)
            last = x.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            wide = F.pad(x, more).contiguous(memory_format=layout)
            return convolve(wide, F.pad(weight, more), bias)

        return run

    found: dict[str, Way] = {"plain": convolve, "other layout": other_layout}
    if group > 1:
        return found | {"groups apart": split, "one dense product": dense}
    return found | {f"channels padded to a multiple of {n}": padded(n) for n in MULTIPLES}
