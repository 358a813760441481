"""Scale: a factor, and a shift, spread over the bottom."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

X = np.arange(6).reshape(1, 2, 3)


def scale(fields=""):
    return f'type: "Scale" scale_param {{ {fields} }}'


def test_forward_and_gradients(one_layer):
    layer = one_layer(scale("bias_term: true"), x=X)
    assert_allclose(layer.forward(), X)  # factor 1, shift 0
    layer.blobs[0].data[...] = [2, 10]
    layer.blobs[1].data[...] = [0.5, 0]
    assert_allclose(layer.forward(), [[[0.5, 2.5, 4.5], [30, 40, 50]]])
    assert_allclose(layer.backward(np.ones((1, 2, 3))), [[[2, 2, 2], [10, 10, 10]]])
    assert_allclose(layer.blobs[0].diff, [0 + 1 + 2, 3 + 4 + 5])
    assert_allclose(layer.blobs[1].diff, [3, 3])


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("", (2,)),
        ("axis: 0", (1,)),
        ("axis: 1 num_axes: 2", (2, 3)),
        ("axis: 1 num_axes: -1", (2, 3)),
        ("axis: -1", (3,)),
        ("num_axes: 0", ()),
    ],
)
def test_shape_of_the_factor(one_layer, fields, shape):
    layer = one_layer(scale(fields), x=X)
    assert layer.blobs[0].shape == shape
    layer.blobs[0].data[...] = 3
    assert_allclose(layer.forward(), 3 * X)


def test_two_bottoms(one_layer):
    layer = one_layer(scale("axis: 1 bias_term: true"), x=X, factor=[2, 10])
    assert [b.shape for b in layer.blobs] == [(2,)]
    layer.blobs[0].data[...] = [100, 200]
    assert_allclose(layer.forward(), [[[100, 102, 104], [230, 240, 250]]])
    grad, factor = layer.backward(np.ones((1, 2, 3)))
    assert_allclose(grad, [[[2, 2, 2], [10, 10, 10]]])
    assert_allclose(factor, [3, 12])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("axis: 3", "axis 3 is out of range"),
        ("num_axes: 3", "reach beyond"),
        ("num_axes: -2", "num_axes"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, scale(fields), x=X)


def test_a_factor_that_does_not_fit(refused):
    refused("does not fit", scale(), x=X, factor=[1, 2, 3])
