"""Tile: a bottom repeated along an axis."""

import pytest
from numpy.testing import assert_array_equal

X = [[1, 2], [3, 4]]


def tile(fields):
    return f'type: "Tile" tile_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "top"),
    [
        ("tiles: 2", [[1, 2, 1, 2], [3, 4, 3, 4]]),
        ("tiles: 2 axis: -2", [[1, 2], [3, 4], [1, 2], [3, 4]]),
        ("tiles: 1", X),
    ],
)
def test_forward(one_layer, fields, top):
    assert_array_equal(one_layer(tile(fields), x=X).forward(), top)


def test_gradient(one_layer):
    layer = one_layer(tile("tiles: 2"), x=X)
    layer.forward()
    assert_array_equal(layer.backward([[1, 2, 10, 20], [3, 4, 30, 40]]), [[11, 22], [33, 44]])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("", "tiles is missing"),
        ("tiles: 0", "tiles must be at least 1"),
        ("tiles: 2 axis: 2", "axis 2 is out of range"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, tile(fields), x=X)
