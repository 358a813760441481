"""Log: to a base, of scale x + shift."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


@pytest.mark.parametrize(
    ("fields", "top", "grad"),
    [
        ("", [0, np.log(2)], [1, 0.5]),
        ("base: 2", [0, 1], [1 / np.log(2), 0.5 / np.log(2)]),
        ("base: 2 scale: 3 shift: 1", [2, np.log2(7)], [3 / 4 / np.log(2), 3 / 7 / np.log(2)]),
    ],
)
def test_forward_and_gradient(one_layer, fields, top, grad):
    layer = one_layer(f'type: "Log" log_param {{ {fields} }}', x=[1, 2])
    assert_allclose(layer.forward(), top, rtol=1e-6, atol=1e-7)
    assert_allclose(layer.backward([1, 1]), grad, rtol=1e-6)


@pytest.mark.parametrize("base", [0, 1, -3])
def test_refused(refused, base):
    refused("base must be above 0 and not 1", f'type: "Log" log_param {{ base: {base} }}', x=[1])
