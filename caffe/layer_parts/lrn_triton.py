"""The two kernels of lrn_kernel.py; Triton compiles them when they first run.

One program computes P positions of images times C channels, and reads the channels beside them.
"""

# ruff: noqa: ANN001, ANN201  Triton gives annotations a meaning of its own

import triton
import triton.language as tl


@triton.jit
def forward(
    x, y, scales, positions, inner, channels, step_c, step_p, share, k, beta,
    half: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    # an image has `inner` positions; a channel is step_c numbers further, a position step_p
    at = (tl.program_id(0) * P + tl.arange(0, P)).to(tl.int64)
    c = tl.program_id(1) * C + tl.arange(0, C)
    inside = (at < positions)[:, None]
    base = ((at // inner) * inner * channels + (at % inner) * step_p)[:, None]
    squares = tl.zeros((P, C), tl.float32)
    for offset in tl.static_range(-half, half + 1):
        near = (c + offset)[None, :]
        there = inside & (near >= 0) & (near < channels)
        value = tl.load(x + base + near * step_c, mask=there, other=0.0)
        squares += value * value
    scale = k + share * squares
    place, there = base + c[None, :] * step_c, inside & (c < channels)[None, :]
    value = tl.load(x + place, mask=there, other=0.0)
    tl.store(scales + place, scale, mask=there)
    tl.store(y + place, value * tl.exp2(-beta * tl.log2(scale)), mask=there)


@triton.jit
def backward(
    x, scales, dy, dx, positions, inner, channels, step_c, step_p, ratio, beta,
    half: tl.constexpr, P: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    at = (tl.program_id(0) * P + tl.arange(0, P)).to(tl.int64)
    c = tl.program_id(1) * C + tl.arange(0, C)
    inside = (at < positions)[:, None]
    base = ((at // inner) * inner * channels + (at % inner) * step_p)[:, None]
    through = tl.zeros((P, C), tl.float32)  # the sum of dy y / scale
    for offset in tl.static_range(-half, half + 1):
        near = (c + offset)[None, :]
        there = inside & (near >= 0) & (near < channels)
        place = base + near * step_c
        value = tl.load(x + place, mask=there, other=0.0)
        value *= tl.load(dy + place, mask=there, other=0.0)
        scale = tl.load(scales + place, mask=there, other=1.0)
        through += value * tl.exp2(-(beta + 1) * tl.log2(scale))
    place, there = base + c[None, :] * step_c, inside & (c < channels)[None, :]
    value = tl.load(x + place, mask=there, other=0.0)
    scale = tl.load(scales + place, mask=there, other=1.0)
    direct = tl.load(dy + place, mask=there, other=0.0) * tl.exp2(-beta * tl.log2(scale))
    tl.store(dx + place, direct - ratio * value * through, mask=there)
