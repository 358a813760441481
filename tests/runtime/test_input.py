"""Input: tops that the user fills, in the shapes that the prototxt gives."""

import numpy as np
import pytest

import caffe


def net_of(net_from, shapes, tops='top: "a" top: "b"'):
    return net_from(f'layer {{ name: "layer" type: "Input" {tops} input_param {{ {shapes} }} }}')


@pytest.mark.parametrize(
    ("shapes", "a", "b"),
    [
        ("shape { dim: 2 dim: 3 }", (2, 3), (2, 3)),  # one for all
        ("shape { dim: 2 dim: 3 } shape { dim: 4 }", (2, 3), (4,)),
        ("", (), ()),
    ],
)
def test_shape(net_from, shapes, a, b):
    net = net_of(net_from, shapes)
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == (a, b)
    assert net.inputs == ["a", "b"]


def test_an_input_holds_what_is_written(net_from):
    net = net_of(net_from, "shape { dim: 2 }")
    assert not net.blobs["a"].data.any()
    net.blobs["a"].data[...] = [1, 2]
    np.testing.assert_array_equal(net.forward()["a"], [1, 2])


def test_a_reshape_reaches_the_layers_above(one_layer):
    layer = one_layer('type: "ReLU"', x=np.ones((2, 3)))
    layer.net.blobs["x"].reshape(4, 5)
    layer.net.reshape()
    assert layer.net.blobs["top0"].shape == (4, 5)


def test_refused(net_from):
    with pytest.raises(caffe.CaffeError, match="2 tops and 3 shapes"):
        net_of(net_from, "shape { dim: 1 } " * 3)
