"""Power: (scale x + shift)^power."""

import pytest
from numpy.testing import assert_allclose


@pytest.mark.parametrize(
    ("fields", "top", "grad"),
    [
        ("", [0, 2], [1, 1]),
        ("power: 2", [0, 4], [0, 4]),
        ("power: 2 scale: 3 shift: 1", [1, 49], [6, 42]),
        ("power: 3", [0, 8], [0, 12]),  # true also at 0, where Caffe divides by it
        ("scale: -1 shift: 1", [1, -1], [-1, -1]),
        ("power: 0.5 scale: 0 shift: 9", [3, 3], [0, 0]),
        ("power: 0", [1, 1], [0, 0]),
        ("power: 0 scale: 0", [1, 1], [0, 0]),
        ("power: 0.5 scale: 0", [0, 0], [0, 0]),
    ],
)
def test_forward_and_gradient(one_layer, fields, top, grad):
    layer = one_layer(f'type: "Power" power_param {{ {fields} }}', x=[0, 2])
    assert_allclose(layer.forward(), top, rtol=1e-6)
    layer.net.blobs["x"].diff[...] = 99  # a constant top writes zeros, too
    assert_allclose(layer.backward([1, 1]), grad, rtol=1e-6)


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "Power"', x=[1], y=[1])
