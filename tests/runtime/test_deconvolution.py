"""Deconvolution: each input spread over a window, worked out by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


def deconv(fields):
    return f'type: "Deconvolution" convolution_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "out"),
    [
        ("num_output: 2 kernel_size: 3", (6, 7)),
        ("num_output: 2 kernel_size: 4 stride: 2 pad: 1", (8, 10)),
        ("num_output: 2 kernel_size: 3 dilation: 2", (8, 9)),
        ("num_output: 2 kernel_h: 1 kernel_w: 3 stride_h: 3 stride_w: 1", (10, 7)),
    ],
)
def test_shape(one_layer, fields, out):
    layer = one_layer(deconv(fields), x=np.ones((2, 3, 4, 5)))
    assert layer.forward().shape == (2, 2, *out)
    assert layer.blobs[0].shape[:2] == (3, 2)  # inputs first


def test_forward_and_gradients(one_layer):
    layer = one_layer(deconv("num_output: 1 kernel_size: 2"), x=[[[[1, 10]]]])
    layer.blobs[0].data[...] = [[[[1, 2], [3, 4]]]]
    layer.blobs[1].data[...] = 0.5
    assert_allclose(layer.forward(), [[[[1.5, 12.5, 20.5], [3.5, 34.5, 40.5]]]])
    assert_allclose(layer.backward([[[[1, 0, 0], [0, 1, 0]]]]), [[[[1 + 4, 3]]]])
    assert_allclose(layer.blobs[0].diff, [[[[1, 0], [10, 1]]]])
    assert_allclose(layer.blobs[1].diff, [2])


def test_bilinear_upsampling_of_each_channel(one_layer):
    text = deconv(
        "num_output: 2 group: 2 kernel_size: 4 stride: 2 pad: 1 bias_term: false weight_filler {"
        " type: 'bilinear' }"
    )
    layer = one_layer(text, x=np.ones((1, 2, 5, 5)) * np.reshape([1, 3], (1, 2, 1, 1)))
    top = layer.forward()
    assert_allclose(top[0, 0, 2:-2, 2:-2], 1)  # inside, a constant image stays constant
    assert_allclose(top[0, 1, 2:-2, 2:-2], 3)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("num_output: 1", "kernel_size is missing"),
        ("num_output: 3 group: 2 kernel_size: 1", "group 2"),
        ("num_output: 1 kernel_size: 1 pad: 1", "leaves no output"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, deconv(fields), x=np.ones((1, 1, 2, 2)))


def test_no_spatial_axes(one_layer):
    layer = one_layer(deconv("num_output: 2"), x=[[1, 10]])
    assert layer.blobs[0].shape == (2, 2)
    layer.blobs[0].data[...] = [[1, 2], [3, 4]]  # (C_in, num_output)
    assert_allclose(layer.forward(), [[31, 42]])
    assert_allclose(layer.backward([[1, 5]]), [[11, 23]])
    assert_allclose(layer.blobs[0].diff, [[1, 5], [10, 50]])
