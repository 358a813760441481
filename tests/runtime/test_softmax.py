"""Softmax: exp(x) over its sum along an axis."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Softmax"', x=[[0, np.log(3)]])
    assert_allclose(layer.forward(), [[0.25, 0.75]], rtol=1e-6)
    # y * (dy - sum(dy * y)) with dy = (1, 0)
    assert_allclose(layer.backward([[1, 0]]), [[0.25 * 0.75, -0.75 * 0.25]], rtol=1e-6)


@pytest.mark.parametrize(("axis", "value"), [(1, 1 / 3), (2, 1 / 4), (-1, 1 / 4), (0, 1 / 2)])
def test_axis(one_layer, axis, value):
    layer = one_layer(f'type: "Softmax" softmax_param {{ axis: {axis} }}', x=np.ones((2, 3, 4)))
    assert_allclose(layer.forward(), np.full((2, 3, 4), value), rtol=1e-6)


def test_large_scores_do_not_overflow(one_layer):
    assert_allclose(one_layer('type: "Softmax"', x=[[1000, 1000]]).forward(), [[0.5, 0.5]])


def test_refused(refused):
    refused("axis 2 is out of range", 'type: "Softmax" softmax_param { axis: 2 }', x=[[1]])
