"""Swish: x sigmoid(beta x)."""

import numpy as np
from numpy.testing import assert_allclose


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Swish" swish_param { beta: 2 }', x=[0, np.log(3) / 2])
    x = np.log(3) / 2
    assert_allclose(layer.forward(), [0, 0.75 * x], rtol=1e-6)
    # s + beta x s (1 - s)
    assert_allclose(layer.backward([1, 1]), [0.5, 0.75 + 2 * x * 0.75 * 0.25], rtol=1e-6)


def test_beta_is_1_by_default(one_layer):
    assert_allclose(
        one_layer('type: "Swish"', x=[np.log(3)]).forward(), [0.75 * np.log(3)], rtol=1e-6
    )


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "Swish"', x=[1], y=[1])
