"""Sigmoid: 1 / (1 + exp(-x))."""

import numpy as np
from numpy.testing import assert_allclose


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Sigmoid"', x=[0, np.log(3), -100, 100])
    assert_allclose(layer.forward(), [0.5, 0.75, 0, 1], atol=1e-6)
    assert_allclose(layer.backward([1, 1, 1, 1]), [0.25, 0.1875, 0, 0], atol=1e-6)


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "Sigmoid"', x=[1], y=[1])
