"""BNLL: log(1 + exp(x))."""

import numpy as np
from numpy.testing import assert_allclose


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "BNLL"', x=[0, np.log(3), -100, 1000])
    assert_allclose(layer.forward(), [np.log(2), np.log(4), 0, 1000], rtol=1e-6, atol=1e-6)
    assert_allclose(layer.backward([1, 1, 1, 1]), [0.5, 0.75, 0, 1], rtol=1e-6, atol=1e-6)


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "BNLL"', x=[1], y=[1])
