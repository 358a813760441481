"""TanH."""

import numpy as np
from numpy.testing import assert_allclose


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "TanH"', x=[0, np.log(2), -50])
    assert_allclose(layer.forward(), [0, 0.6, -1], rtol=1e-6)  # (2 - 1/2) / (2 + 1/2)
    assert_allclose(layer.backward([1, 1, 1]), [1, 0.64, 0], rtol=1e-6, atol=1e-7)


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "TanH"', x=[1], y=[1])
