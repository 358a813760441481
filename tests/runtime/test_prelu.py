"""PReLU: a learnt slope below 0 for each channel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


def test_forward_and_gradients(one_layer):
    layer = one_layer('type: "PReLU"', x=[[-1, -2], [3, 0]])
    assert_allclose(layer.blobs[0].data, [0.25, 0.25])
    layer.blobs[0].data[...] = [0.5, 0.1]
    assert_allclose(layer.forward(), [[-0.5, -0.2], [3, 0]])
    # at 0 the gradient is the slope
    assert_allclose(layer.backward([[1, 10], [100, 1000]]), [[0.5, 1], [100, 100]])
    assert_allclose(layer.blobs[0].diff, [-1, -20])


def test_one_slope_for_all_channels(one_layer):
    layer = one_layer(
        'type: "PReLU" prelu_param { channel_shared: true filler { value: 2 } }', x=[[-1, -2]]
    )
    assert layer.blobs[0].shape == ()
    assert_allclose(layer.forward(), [[-2, -4]])
    layer.backward([[1, 1]])
    assert_allclose(layer.blobs[0].diff, -3)


def test_in_place(net_from):
    net = net_from(
        'force_backward: true layer { name: "i" type: "Input" top: "x" input_param { shape { dim:'
        " 1 dim: 2 } } }"
        'layer { name: "p" type: "PReLU" bottom: "x" top: "x" }'
    )
    net.blobs["x"].data[...] = [[-4, 4]]
    net.forward()
    assert_allclose(net.blobs["x"].data, [[-1, 4]])
    net.blobs["x"].diff[...] = 1
    net.backward()
    assert_allclose(net.blobs["x"].diff, [[0.25, 1]])
    assert_allclose(net.params["p"][0].diff, [-4, 0])


def test_refuses_one_axis(refused):
    refused("at least 2 axes", 'type: "PReLU"', x=[1, 2])


def test_refuses_other_channels_later(one_layer):
    layer = one_layer('type: "PReLU"', x=np.ones((1, 2)))
    layer.net.blobs["x"].reshape(1, 3)
    with pytest.raises(RuntimeError, match="was made for 2 channels"):
        layer.forward()
