"""Clip: cut to an interval, ends included."""

import pytest
from numpy.testing import assert_array_equal


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Clip" clip_param { min: -1 max: 2 }', x=[-3, -1, 0, 2, 5])
    assert_array_equal(layer.forward(), [-1, -1, 0, 2, 2])
    assert_array_equal(layer.backward([1, 2, 3, 4, 5]), [0, 2, 3, 4, 0])


@pytest.mark.parametrize("fields", ["", "min: 0", "max: 0"])
def test_refused(refused, fields):
    refused("m(in|ax)", f'type: "Clip" clip_param {{ {fields} }}', x=[1])
