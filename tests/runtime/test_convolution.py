"""Convolution: sums of products over windows, worked out by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import caffe

IMAGE = np.arange(1, 10).reshape(1, 1, 3, 3)  # 1 2 3 / 4 5 6 / 7 8 9


def conv(fields):
    return f'type: "Convolution" convolution_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "size", "shape"),
    [
        ("num_output: 2 kernel_size: 3", (7, 8), (2, 5, 6)),
        ("num_output: 2 kernel_size: 3 stride: 2", (7, 8), (2, 3, 3)),  # floor((8 - 3) / 2) + 1
        ("num_output: 2 kernel_size: 3 pad: 1 stride: 2", (7, 8), (2, 4, 4)),
        ("num_output: 2 kernel_size: 3 dilation: 2", (7, 8), (2, 3, 4)),
        (
            "num_output: 2 kernel_h: 1 kernel_w: 3 pad_h: 2 stride_w: 2 stride_h: 1",
            (7, 8),
            (2, 11, 3),
        ),
        ("num_output: 2 kernel_size: 1 kernel_size: 3", (7, 8), (2, 7, 6)),
    ],
)
def test_shape(one_layer, fields, size, shape):
    layer = one_layer(conv(fields), x=np.zeros((5, 3, *size)))
    assert layer.forward().shape == (5, *shape)


@pytest.mark.parametrize(("size", "shape"), [((6,), (2, 4)), ((4, 5, 6), (2, 2, 3, 4))])
def test_one_and_three_spatial_axes(one_layer, size, shape):
    assert one_layer(
        conv("num_output: 2 kernel_size: 3"), x=np.ones((1, 1, *size))
    ).forward().shape == (1, *shape)


def test_forward_correlates_and_does_not_flip(one_layer):
    layer = one_layer(conv("num_output: 1 kernel_size: 2"), x=IMAGE)
    layer.blobs[0].data[...] = [[[[1, 2], [3, 4]]]]
    layer.blobs[1].data[...] = 10
    # 1*1 + 2*2 + 3*4 + 4*5 + 10 = 47
    assert_allclose(layer.forward(), [[[[47, 57], [77, 87]]]])


def test_gradients(one_layer):
    layer = one_layer(conv("num_output: 1 kernel_size: 2"), x=IMAGE)
    layer.blobs[0].data[...] = [[[[1, 2], [3, 4]]]]
    layer.forward()
    grad = layer.backward([[[[1, 0], [0, 2]]]])  # the first window once, the last twice
    assert_allclose(grad, [[[[1, 2, 0], [3, 4 + 2, 4], [0, 6, 8]]]])
    assert_allclose(layer.blobs[0].diff, [[[[1 + 10, 2 + 12], [4 + 16, 5 + 18]]]])
    assert_allclose(layer.blobs[1].diff, [3])


def test_group_keeps_channels_apart(one_layer):
    layer = one_layer(
        conv("num_output: 2 kernel_size: 1 group: 2 bias_term: false"), x=[[[[5]], [[7]]]]
    )
    assert layer.blobs[0].shape == (2, 1, 1, 1)
    assert len(layer.blobs) == 1
    layer.blobs[0].data[...] = np.reshape([10, 100], (2, 1, 1, 1))
    assert_allclose(layer.forward().ravel(), [50, 700])


def test_two_bottoms_share_the_weights(one_layer):
    layer = one_layer(conv("num_output: 1 kernel_size: 1"), tops=2, x=[[[[2]]]], y=[[[[3]]]])
    layer.blobs[0].data[...] = 10
    assert_allclose(np.ravel(layer.forward()), [20, 30])
    layer.backward(1, 1)
    assert_allclose(layer.blobs[0].diff.ravel(), [5])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("kernel_size: 1", "num_output"),
        ("num_output: 1", "kernel_size is missing"),
        ("num_output: 1 kernel_size: 1 kernel_h: 1 kernel_w: 1", "not both"),
        ("num_output: 1 kernel_size: 1 kernel_size: 1 kernel_size: 1", "3 times for 2"),
        ("num_output: 1 kernel_size: 1 stride: 0", "stride must be at least 1"),
        ("num_output: 3 kernel_size: 1 group: 2", "group 2"),
        ("num_output: 1 kernel_size: 4", "larger than the padded bottom"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, conv(fields), x=IMAGE)


def test_no_spatial_axes(one_layer):
    """On (N, C), Caffe's weights are (num_output, C / group), and the product needs no kernel."""
    layer = one_layer(conv("num_output: 2 group: 2"), x=[[1, 10], [2, 20]])
    assert layer.blobs[0].shape == (2, 1)
    layer.blobs[0].data[...], layer.blobs[1].data[...] = [[3], [5]], [0.5, 0]
    assert_allclose(layer.forward(), [[3.5, 50], [6.5, 100]])
    assert_allclose(layer.backward([[1, 0], [1, 2]]), [[3, 0], [3, 10]])
    assert_allclose(layer.blobs[0].diff, [[1 + 2], [40]])
    assert_allclose(layer.blobs[1].diff, [2, 2])


@pytest.mark.parametrize("fields", ["kernel_size: 3 stride: 2 pad: 1", "axis: -1"])
def test_no_spatial_axes_takes_the_fields_that_caffe_takes(one_layer, fields):
    # with axis -1, all axes before the last are batch axes
    shape = (2, 3) if "kernel" in fields else (2, 4, 3)
    layer = one_layer(conv(f"num_output: 4 {fields}"), x=np.ones(shape))
    layer.blobs[0].data[...] = 1
    assert_allclose(layer.forward(), np.full((*shape[:-1], 4), 3))


def test_no_spatial_axes_but_kernel_h(refused):
    refused(
        "2 spatial axes, the bottom has 0",
        conv("num_output: 1 kernel_h: 1 kernel_w: 1"),
        x=[[1, 2]],
    )


def test_one_spatial_axis(one_layer):
    layer = one_layer(conv("num_output: 1 kernel_size: 2"), x=[[[1, 2, 4]]])
    layer.blobs[0].data[...] = [[[10, 1]]]
    assert_allclose(layer.forward(), [[[12, 24]]])
    assert_allclose(layer.backward([[[1, 2]]]), [[[10, 1 + 20, 2]]])


def test_a_net_of_a_users_report(shared_cases):
    net = caffe.Net(str(shared_cases / "conv_0d.prototxt"), caffe.TEST)
    net.blobs["x"].data[...] = np.arange(6).reshape(2, 3)
    weights, bias = (blob.data for blob in net.params["c"])
    assert_allclose(net.forward()["c"], np.arange(6).reshape(2, 3) @ weights.T + bias, rtol=1e-5)
