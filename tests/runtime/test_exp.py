"""Exp: base^(scale x + shift)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


@pytest.mark.parametrize(
    ("fields", "top", "grad"),
    [
        ("", [1, np.e**2], [1, np.e**2]),
        ("base: 2", [1, 4], [np.log(2), 4 * np.log(2)]),
        ("base: 2 scale: 3 shift: 1", [2, 128], [6 * np.log(2), 384 * np.log(2)]),
        ("shift: 1", [np.e, np.e**3], [np.e, np.e**3]),
    ],
)
def test_forward_and_gradient(one_layer, fields, top, grad):
    layer = one_layer(f'type: "Exp" exp_param {{ {fields} }}', x=[0, 2])
    assert_allclose(layer.forward(), top, rtol=1e-5)
    assert_allclose(layer.backward([1, 1]), grad, rtol=1e-5)


@pytest.mark.parametrize("base", [0, -2])
def test_refused(refused, base):
    refused("base must be above 0", f'type: "Exp" exp_param {{ base: {base} }}', x=[1])
