"""ArgMax: where the largest values are."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

X = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 9]]


def argmax(fields=""):
    return f'type: "ArgMax" argmax_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "top"),
    [
        ("", [[[4]], [[4]]]),  # of the two nines the last
        ("top_k: 2", [[[4, 2]], [[4, 0]]]),
        ("top_k: 2 out_max_val: true", [[[4, 2], [5, 4]], [[4, 0], [9, 9]]]),
        ("axis: 1 top_k: 2", [[4, 2], [4, 0]]),
        ("axis: 1 top_k: 2 out_max_val: true", [[5, 4], [9, 9]]),  # values instead of indices
        ("axis: 0", [[1, 1, 1, 1, 1]]),
        ("axis: -2", [[1, 1, 1, 1, 1]]),
    ],
)
def test_forward(one_layer, fields, top):
    found = one_layer(argmax(fields), x=X).forward()
    assert found.shape == np.shape(top)
    assert_array_equal(found, top)


def test_images_are_flattened(one_layer):
    x = np.zeros((2, 3, 4, 5))
    x[0, 2, 1, 3] = x[1, 0, 3, 2] = 1
    assert_array_equal(
        one_layer(argmax(), x=x).forward(), np.reshape([2 * 20 + 5 + 3, 3 * 5 + 2], (2, 1, 1, 1))
    )


def test_has_no_gradient(one_layer):
    layer = one_layer(argmax(), x=X)
    layer.forward()
    assert not layer.backward(1).any()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("top_k: 6", r"top_k 6 must be in 1\.\.5"),
        ("top_k: 0", "top_k 0"),
        ("axis: 2", "axis 2 is out of range"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, argmax(fields), x=X)
