"""Concat: bottoms put side by side."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

A, B = [[[1, 2], [3, 4]]], [[[5, 6]]]  # (1, 2, 2) and (1, 1, 2)


def concat(fields=""):
    return f'type: "Concat" concat_param {{ {fields} }}'


@pytest.mark.parametrize("fields", ["", "axis: 1", "axis: -2", "concat_dim: 1"])
def test_forward_and_gradient(one_layer, fields):
    layer = one_layer(concat(fields), a=A, b=B)
    assert_array_equal(layer.forward(), [[[1, 2], [3, 4], [5, 6]]])
    a, b = layer.backward([[[10, 20], [30, 40], [50, 60]]])
    assert_array_equal(a, [[[10, 20], [30, 40]]])
    assert_array_equal(b, [[[50, 60]]])


def test_along_the_first_axis(one_layer):
    assert_array_equal(
        one_layer(concat("axis: 0"), a=[[1, 2]], b=[[3, 4], [5, 6]]).forward(),
        [[1, 2], [3, 4], [5, 6]],
    )


def test_one_bottom_and_three(one_layer):
    assert_array_equal(one_layer(concat(), a=A).forward(), A)
    assert one_layer(concat(), a=A, b=B, c=np.ones((1, 4, 2))).forward().shape == (1, 7, 2)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("axis: 1 concat_dim: 1", "not both"),
        ("axis: 3", "axis 3 is out of range"),
        ("axis: 2", r"\(1, 2, 2\) and \(1, 1, 2\) do not agree outside axis 2"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, concat(fields), a=A, b=B)


def test_refuses_another_number_of_axes(refused):
    refused("do not agree", concat(), a=A, b=[[1, 2]])
