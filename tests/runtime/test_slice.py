"""Slice: a bottom cut into tops."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

X = np.arange(12).reshape(2, 6)


def cut(fields=""):
    return f'type: "Slice" slice_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "bounds"),
    [
        ("", [0, 2, 4, 6]),
        ("axis: 1", [0, 2, 4, 6]),
        ("slice_dim: 1", [0, 2, 4, 6]),
        ("axis: -1 slice_point: 1 slice_point: 5", [0, 1, 5, 6]),
    ],
)
def test_forward_and_gradient(one_layer, fields, bounds):
    layer = one_layer(cut(fields), tops=3, x=X)
    for top, begin, end in zip(layer.forward(), bounds, bounds[1:], strict=False):
        assert_array_equal(top, X[:, begin:end])
    grad = layer.backward(1, 2, 3)
    assert_array_equal(grad, [np.repeat([1, 2, 3], np.diff(bounds))] * 2)


def test_along_the_first_axis(one_layer):
    for top, row in zip(one_layer(cut("axis: 0"), tops=2, x=X).forward(), X, strict=True):
        assert_array_equal(top, [row])


def test_tops_do_not_share_the_bottoms_memory(one_layer):
    layer = one_layer(cut(), tops=2, x=X)
    layer.forward()
    layer.net.blobs["top0"].data[...] = -1
    assert_array_equal(layer.net.blobs["x"].data, X)


def test_one_top(one_layer):
    assert_array_equal(one_layer(cut(), x=X).forward(), X)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("slice_point: 3", "need 3 slice_point; there are 1"),
        ("slice_point: 1 slice_point: 1 slice_point: 2", "must increase"),
        ("slice_point: 1 slice_point: 2 slice_point: 6", "be inside axis 1"),
        ("", "cannot be cut into 4 equal parts"),
        ("axis: 1 slice_dim: 1", "not both"),
        ("axis: 2", "axis 2 is out of range"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, cut(fields), tops=4, x=X)
