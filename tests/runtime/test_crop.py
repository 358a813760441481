"""Crop: the first bottom cut to the second's size."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

IMAGE = np.arange(12).reshape(1, 1, 3, 4)


def crop(fields=""):
    return f'type: "Crop" crop_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "top"),
    [("", [0, 1]), ("offset: 1", [5, 6]), ("offset: 2 offset: 1", [9, 10]), ("axis: -1", None)],
)
def test_forward(one_layer, fields, top):
    like = np.zeros((1, 1, 1, 2)) if top else np.zeros((1, 1, 3, 2))
    found = one_layer(crop(fields), x=IMAGE, like=like).forward()
    assert_array_equal(found, IMAGE[..., :2] if top is None else np.reshape(top, (1, 1, 1, 2)))


def test_gradient(one_layer):
    layer = one_layer(crop("offset: 1 offset: 2"), x=IMAGE, like=np.zeros((1, 1, 1, 2)))
    layer.forward()
    grad, none = layer.backward([[[[7, 8]]]])
    assert_array_equal(grad, [[[[0] * 4, [0, 0, 7, 8], [0] * 4]]])
    assert not none.any()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("offset: 3", "does not fit into a bottom"),
        ("offset: 0 offset: 0 offset: 0", "3 times for 2 axes"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, crop(fields), x=IMAGE, like=np.zeros((1, 1, 1, 2)))


def test_in_place_is_refused(net_from):
    with pytest.raises(RuntimeError, match="in place"):
        net_from(
            'layer { name: "i" type: "Input" top: "x" top: "y" input_param { shape { dim: 1 dim:'
            " 1 dim: 2 dim: 2 } } }"
            'layer { name: "c" type: "Crop" bottom: "x" bottom: "y" top: "x" }'
        )
