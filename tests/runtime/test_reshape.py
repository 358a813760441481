"""Reshape: the same values in another shape."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

X = np.arange(24).reshape(2, 3, 4)


def reshape(dims, fields=""):
    dims = " ".join(f"dim: {d}" for d in dims)
    return f'type: "Reshape" reshape_param {{ shape {{ {dims} }} {fields} }}'


@pytest.mark.parametrize(
    ("dims", "fields", "shape"),
    [
        ([6, 4], "", (6, 4)),
        ([0, -1], "", (2, 12)),
        ([0, 0, 2, -1], "", (2, 3, 2, 2)),
        ([-1], "", (24,)),
        ([12], "axis: 1", (2, 12)),
        ([2, 2], "axis: -2", (2, 3, 2, 2)),  # replaces the last axis
        ([1, 3], "axis: 1 num_axes: 1", (2, 1, 3, 4)),
        ([1], "axis: 1 num_axes: 0", (2, 1, 3, 4)),  # puts one in
        ([1, 1], "axis: -1", (2, 3, 4, 1, 1)),
        ([], "axis: 3", (2, 3, 4)),
    ],
)
def test_forward_and_gradient(one_layer, dims, fields, shape):
    layer = one_layer(reshape(dims, fields), x=X)
    assert_array_equal(layer.forward(), X.reshape(shape))
    assert_array_equal(layer.backward(100 + X.reshape(shape)), 100 + X)


def test_a_bottom_of_another_shape_later(one_layer):
    layer = one_layer(reshape([0, -1]), x=X)
    layer.net.blobs["x"].reshape(5, 2, 3)
    assert layer.forward().shape == (5, 6)


@pytest.mark.parametrize(
    ("dims", "fields", "match"),
    [
        ([-1, -1], "", "once -1"),
        ([-2], "", "once -1"),
        ([5, 5], "", r"cannot make the shape \[5, 5\]"),
        ([5, -1], "", r"cannot make the shape \[5, -1\]"),
        ([0, 0, 0, 0], "", "dim 3 is 0"),
        ([24], "axis: 4", "axis 4 is out of range"),
        ([24], "axis: -5", "axis -5 is out of range"),
        ([24], "num_axes: 4", "num_axes 4"),
        ([24], "num_axes: -2", "num_axes -2"),
    ],
)
def test_refused(refused, dims, fields, match):
    refused(match, reshape(dims, fields), x=X)
