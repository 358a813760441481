"""MultinomialLogisticLoss: the mean of -log p of the labels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

TEXT = 'type: "MultinomialLogisticLoss"'
P, LABELS = [[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]], [1, 2]


def test_forward_and_gradient(one_layer):
    layer = one_layer(TEXT, p=P, t=LABELS)
    assert_allclose(layer.forward(), -(np.log(0.25) + np.log(0.7)) / 2, rtol=1e-6)
    grad, none = layer.backward()
    assert_allclose(grad, [[0, -1 / 0.25 / 2, 0], [0, 0, -1 / 0.7 / 2]], rtol=1e-6)
    assert not none.any()


def test_a_probability_of_0_is_raised(one_layer):
    layer = one_layer(TEXT, p=[[0, 1]], t=[0])
    assert_allclose(layer.forward(), -np.log(1e-20), rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-1e20, 0]], rtol=1e-6)


def test_loss_weight(one_layer):
    layer = one_layer(TEXT + " loss_weight: 3", p=[[0.5, 0.5]], t=[0])
    assert_allclose(layer.forward(), np.log(2), rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-6, 0]])


@pytest.mark.parametrize(
    ("labels", "match"),
    [([0, 3], r"label 3 is outside 0\.\.2"), ([-1, 0], "label -1"), ([0], "one label per item")],
)
def test_refused(refused, labels, match):
    refused(match, TEXT, p=P, t=labels)
