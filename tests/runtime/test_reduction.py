"""Reduction: sums and means of what follows an axis."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

X = [[1, -2, 3], [0, 5, -6]]


def reduction(fields=""):
    return f'type: "Reduction" reduction_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "top", "grad"),
    [
        ("", 1, [[1, 1, 1], [1, 1, 1]]),
        ("axis: 1", [2, -1], [[1, 1, 1], [10, 10, 10]]),
        ("axis: -1 coeff: 2", [4, -2], [[2, 2, 2], [20, 20, 20]]),
        ("operation: ASUM axis: 1", [6, 11], [[1, -1, 1], [0, 10, -10]]),
        ("operation: SUMSQ axis: 1", [14, 61], [[2, -4, 6], [0, 100, -120]]),
        ("operation: MEAN axis: 1", [2 / 3, -1 / 3], np.outer([1, 10], [1 / 3] * 3)),
        ("operation: MEAN coeff: 3", 0.5, np.full((2, 3), 0.5)),
    ],
)
def test_forward_and_gradient(one_layer, fields, top, grad):
    layer = one_layer(reduction(fields), x=X)
    found = layer.forward()
    assert found.shape == np.shape(top)
    assert_allclose(found, top, rtol=1e-6)
    assert_allclose(layer.backward([1, 10] if np.ndim(top) else 1), grad, rtol=1e-6)


def test_all_that_follows(one_layer):
    x = np.arange(24).reshape(2, 3, 4)
    assert_allclose(one_layer(reduction("axis: 1"), x=x).forward(), [66, 210])


def test_as_a_loss(one_layer):
    layer = one_layer("loss_weight: 2 " + reduction(), x=X)
    layer.forward()
    assert_allclose(layer.backward(), np.full((2, 3), 2))


def test_refused(refused):
    refused("axis 2 is out of range", reduction("axis: 2"), x=X)
