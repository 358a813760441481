"""Im2col: windows as columns."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

IMAGE = np.arange(1, 10).reshape(1, 1, 3, 3)


def im2col(fields):
    return f'type: "Im2col" convolution_param {{ {fields} }}'


def test_forward_and_gradient(one_layer):
    layer = one_layer(im2col("kernel_size: 2"), x=IMAGE)
    top = layer.forward()
    assert top.shape == (1, 4, 2, 2)
    assert_allclose(top[0, :, 0, 0], [1, 2, 4, 5])
    assert_allclose(top[0, 3], [[5, 6], [8, 9]])
    # how many windows hold each pixel
    assert_allclose(layer.backward(np.ones((1, 4, 2, 2))), [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]])


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("kernel_size: 3 pad: 1 stride: 2", (1, 9, 2, 2)),
        ("kernel_size: 2 dilation: 2", (1, 4, 1, 1)),
        ("kernel_h: 1 kernel_w: 3", (1, 3, 3, 1)),
    ],
)
def test_shape(one_layer, fields, shape):
    assert one_layer(im2col(fields), x=IMAGE).forward().shape == shape


def test_channels_come_before_the_kernel(one_layer):
    x = np.stack([IMAGE[0, 0], 10 * IMAGE[0, 0]])[None]
    assert_allclose(
        one_layer(im2col("kernel_size: 2"), x=x).forward()[0, :, 0, 0], [1, 2, 4, 5, 10, 20, 40, 50]
    )


def test_three_spatial_axes(one_layer):
    assert one_layer(im2col("kernel_size: 2"), x=np.ones((2, 3, 4, 4, 4))).forward().shape == (
        2,
        24,
        3,
        3,
        3,
    )


@pytest.mark.parametrize(
    ("fields", "match"), [("", "kernel_size is missing"), ("kernel_size: 4", "larger than")]
)
def test_refused(refused, fields, match):
    refused(match, im2col(fields), x=IMAGE)


def test_refuses_a_bottom_without_spatial_axes(refused):
    refused("no spatial axes", im2col("kernel_size: 1"), x=[[1, 2]])
