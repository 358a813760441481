"""Flatten: several axes become one."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

X = np.arange(24).reshape(1, 2, 3, 4)


def flatten(fields=""):
    return f'type: "Flatten" flatten_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("", (1, 24)),
        ("axis: 0", (24,)),
        ("axis: 2", (1, 2, 12)),
        ("end_axis: -2", (1, 6, 4)),
        ("axis: 0 end_axis: 1", (2, 3, 4)),
        ("axis: -1", (1, 2, 3, 4)),
    ],
)
def test_forward_and_gradient(one_layer, fields, shape):
    layer = one_layer(flatten(fields), x=X)
    assert_array_equal(layer.forward(), X.reshape(shape))
    assert_array_equal(layer.backward(100 + X.reshape(shape)), 100 + X)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("axis: 2 end_axis: 1", "end_axis 1 comes before axis 2"),
        ("axis: 4", "axis 4 is out of range"),
        ("end_axis: 4", "end_axis 4 is out of range"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, flatten(fields), x=X)
