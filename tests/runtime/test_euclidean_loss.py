"""EuclideanLoss: half the squared distance, averaged over the items."""

import pytest
from numpy.testing import assert_allclose

A, B = [[1, 2], [3, 4]], [[0, 0], [3, 2]]


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "EuclideanLoss"', a=A, b=B)
    assert_allclose(layer.forward(), (1 + 4 + 0 + 4) / (2 * 2))
    a, b = layer.backward()
    assert_allclose(a, [[0.5, 1], [0, 1]])
    assert_allclose(b, -a)


def test_loss_weight(one_layer):
    layer = one_layer('type: "EuclideanLoss" loss_weight: 10', a=A, b=B)
    assert_allclose(layer.forward(), 2.25)
    assert_allclose(layer.backward()[0], [[5, 10], [0, 10]])


def test_shapes_of_one_count(one_layer):
    layer = one_layer('type: "EuclideanLoss"', a=A, b=[[[0], [0]], [[3], [2]]])
    assert_allclose(layer.forward(), 2.25)
    assert layer.backward()[1].shape == (2, 2, 1)


@pytest.mark.parametrize("b", [[0, 0, 3, 2], [[0], [0]], [[0, 0]]])
def test_refused(refused, b):
    refused("must agree in their first axis and their count", 'type: "EuclideanLoss"', a=A, b=b)
