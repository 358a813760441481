"""ELU: alpha (exp(x) - 1) below 0."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


@pytest.mark.parametrize("alpha", [1, 2, -1])
def test_forward_and_gradient(one_layer, alpha):
    layer = one_layer(f'type: "ELU" elu_param {{ alpha: {alpha} }}', x=[np.log(0.5), 0, 3])
    assert_allclose(layer.forward(), [-0.5 * alpha, 0, 3], rtol=1e-6)
    assert_allclose(layer.backward([1, 1, 1]), [0.5 * alpha, alpha, 1], rtol=1e-6)


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "ELU"', x=[1], y=[1])
