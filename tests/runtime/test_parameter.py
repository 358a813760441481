"""Parameter: a learnt blob as a top."""

import pytest
from numpy.testing import assert_array_equal

import caffe


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Parameter" parameter_param { shape { dim: 2 dim: 2 } }')
    assert_array_equal(layer.forward(), [[0, 0], [0, 0]])
    layer.blobs[0].data[...] = [[1, 2], [3, 4]]
    assert_array_equal(layer.forward(), [[1, 2], [3, 4]])
    layer.backward([[10, 20], [30, 40]])
    assert_array_equal(layer.blobs[0].diff, [[10, 20], [30, 40]])


def test_the_top_follows_the_parameter(one_layer):
    layer = one_layer('type: "Parameter" parameter_param { shape { dim: 2 } }')
    layer.blobs[0].data[...] = [1, 2]
    layer.forward()
    layer.blobs[0].data[...] = [3, 4]
    assert_array_equal(layer.forward(), [3, 4])


def test_without_shape_it_is_one_number(one_layer):
    assert one_layer('type: "Parameter"').blobs[0].shape == ()


def test_takes_no_bottom(refused):
    refused("takes 0 bottom", 'type: "Parameter"', x=[1])


def test_takes_one_top(one_layer):
    with pytest.raises(caffe.CaffeError, match="takes 1 top"):
        one_layer('type: "Parameter"', tops=2)
