"""Bias: a shift spread over the bottom."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

X = np.arange(6).reshape(1, 2, 3)


def bias(fields=""):
    return f'type: "Bias" bias_param {{ {fields} }}'


def test_forward_and_gradients(one_layer):
    layer = one_layer(bias(), x=X)
    assert_allclose(layer.forward(), X)
    layer.blobs[0].data[...] = [10, 20]
    assert_allclose(layer.forward(), [[[10, 11, 12], [23, 24, 25]]])
    assert_allclose(layer.backward([[[1, 2, 3], [4, 5, 6]]]), [[[1, 2, 3], [4, 5, 6]]])
    assert_allclose(layer.blobs[0].diff, [6, 15])


def test_two_bottoms(one_layer):
    layer = one_layer(bias("axis: 2"), x=X, shift=[10, 20, 30])
    assert_allclose(layer.forward(), [[[10, 21, 32], [13, 24, 35]]])
    _, shift = layer.backward(np.ones((1, 2, 3)))
    assert_allclose(shift, [2, 2, 2])


@pytest.mark.parametrize(
    ("fields", "shape"), [("num_axes: -1", (2, 3)), ("num_axes: 0", ()), ("axis: -1", (3,))]
)
def test_shape_of_the_shift(one_layer, fields, shape):
    assert one_layer(bias(fields + " filler { value: 5 }"), x=X).blobs[0].shape == shape


@pytest.mark.parametrize(
    ("fields", "match"), [("axis: 3", "axis 3 is out of range"), ("num_axes: 3", "reach beyond")]
)
def test_refused(refused, fields, match):
    refused(match, bias(fields), x=X)
