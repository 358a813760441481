"""Pooling: Caffe's output sizes, its divisors, its first maximum."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

IMAGE = np.arange(1, 17).reshape(1, 1, 4, 4)  # 1 2 3 4 / 5 6 7 8 / ...


def pool(fields):
    return f'type: "Pooling" pooling_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "size", "out"),
    [
        ("kernel_size: 3 stride: 2", 13, 6),
        ("kernel_size: 3 stride: 2", 14, 7),  # ceil((14 - 3) / 2) + 1
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", 14, 6),
        ("kernel_size: 2 stride: 2 pad: 1", 6, 4),
        # a fourth window would start at 5, in the padding
        ("kernel_size: 2 stride: 2 pad: 1", 5, 3),
        ("global_pooling: true", 9, 1),
        # ceil(-1 / 2) + 1: the kernel may be larger than the bottom
        ("kernel_size: 2 stride: 2", 1, 1),
        ("kernel_size: 3 stride: 2 pad: 1", 1, 1),
        ("kernel_size: 7 stride: 4", 4, 1),
        ("kernel_size: 5 stride: 4", 2, 1),
    ],
)
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_shape(one_layer, method, fields, size, out):
    layer = one_layer(pool(f"pool: {method} {fields}"), x=np.zeros((2, 3, size, size)))
    assert layer.forward().shape == (2, 3, out, out)


def test_max_with_a_clipped_last_window(one_layer):
    layer = one_layer(pool("pool: MAX kernel_size: 3 stride: 2"), x=IMAGE)
    assert_allclose(layer.forward(), [[[[11, 12], [15, 16]]]])
    grad = layer.backward([[[[1, 2], [3, 4]]]])
    assert_allclose(grad, [[[[0] * 4, [0] * 4, [0, 0, 1, 2], [0, 0, 3, 4]]]])


def test_max_takes_the_first_of_equals(one_layer):
    layer = one_layer(pool("pool: MAX kernel_size: 2"), x=np.ones((1, 1, 2, 2)))
    layer.forward()
    assert_allclose(layer.backward([[[[7]]]]), [[[[7, 0], [0, 0]]]])


def test_kernel_larger_than_the_bottom(one_layer):
    """The only window is clipped to the bottom; its average divides by what is inside."""
    layer = one_layer(pool("pool: MAX kernel_size: 7 stride: 4"), x=IMAGE)
    assert_allclose(layer.forward(), [[[[16]]]])
    assert_allclose(layer.backward([[[[3]]]])[0, 0, 3], [0, 0, 0, 3])
    layer = one_layer(pool("pool: AVE kernel_size: 7 stride: 4"), x=IMAGE)
    assert_allclose(layer.forward(), [[[[8.5]]]])
    assert_allclose(layer.backward([[[[16]]]]), np.ones((1, 1, 4, 4)))
    layer = one_layer(pool("pool: MAX kernel_size: 2 stride: 2"), tops=2, x=[[[[5]], [[-6]]]])
    assert_allclose(layer.forward(), [[[[[5]], [[-6]]]], [[[[0]], [[0]]]]])


def test_gradient_goes_where_the_last_forward_found_the_maxima(one_layer):
    """With a second top, it goes where that top says, even if it was changed."""
    layer = one_layer(pool("pool: MAX kernel_size: 2"), x=[[[[1, 2], [3, 4]]]])
    layer.forward()
    layer.net.blobs["x"].data[...] = 0
    assert_allclose(layer.backward([[[[7]]]]), [[[[0, 0], [0, 7]]]])
    layer = one_layer(pool("pool: MAX kernel_size: 2"), tops=2, x=[[[[1, 2], [3, 4]]]])
    layer.forward()
    layer.net.blobs["top1"].data[...] = 1
    assert_allclose(layer.backward([[[[7]]]]), [[[[0, 7], [0, 0]]]])


def test_padding_never_wins(one_layer):
    assert_allclose(
        one_layer(pool("kernel_size: 2 stride: 2 pad: 1"), x=-IMAGE).forward()[0, 0, 0],
        [-1, -2, -4],
    )


def test_mask_is_the_flat_index(one_layer):
    layer = one_layer(pool("pool: MAX kernel_size: 2 stride: 2"), tops=2, x=IMAGE)
    _, mask = layer.forward()
    assert_allclose(mask, [[[[5, 7], [13, 15]]]])


def test_average_divides_by_the_window_clipped_to_the_padded_bottom(one_layer):
    layer = one_layer(pool("pool: AVE kernel_size: 3 stride: 2 pad: 1"), x=np.ones((1, 1, 4, 4)))
    # windows start at -1, 1, 3: the padding counts in the divisor, what is beyond it (index 5)
    # does not
    assert_allclose(layer.forward()[0, 0, 0], [4 / 9, 6 / 9, 2 / 6], rtol=1e-6)
    assert_allclose(layer.backward(np.ones((1, 1, 3, 3)))[0, 0, 0, 3], 1 / 9 + 1 / 6, rtol=1e-6)


def test_rectangular(one_layer):
    layer = one_layer(pool("pool: MAX kernel_h: 1 kernel_w: 4 stride_h: 3 stride_w: 1"), x=IMAGE)
    assert_allclose(layer.forward(), [[[[4], [16]]]])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("pool: MAX", "kernel_size .* missing"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2", "not both"),
        ("kernel_size: 2 pad: 2", "pad .* smaller than the kernel"),
        # ceil(-1 / 1) + 1 = 0
        ("kernel_size: 5", "larger than the padded bottom .* leaves no window"),
        ("kernel_size: 6 stride: 2", "leaves no window"),
        ("kernel_size: 5 stride: 2 round_mode: FLOOR", "leaves no window"),
        ("global_pooling: true kernel_size: 2", "global_pooling"),
        ("pool: STOCHASTIC kernel_size: 2", "STOCHASTIC"),
        ("kernel_size: 1 stride: 4 pool: AVE", "wholly outside"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, pool(fields), x=np.ones((1, 1, 4, 4)))


def test_refuses_a_bottom_without_two_spatial_axes(refused):
    refused("4 axes", pool("kernel_size: 2"), x=np.ones((2, 3, 4)))
