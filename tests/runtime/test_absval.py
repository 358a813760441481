"""AbsVal."""

import pytest
from numpy.testing import assert_array_equal


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "AbsVal"', x=[-2, 0, 3])
    assert_array_equal(layer.forward(), [2, 0, 3])
    assert_array_equal(layer.backward([5, 6, 7]), [-5, 0, 7])


def test_in_place_is_refused(net_from):
    with pytest.raises(RuntimeError, match="in place"):
        net_from(
            'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
            'layer { name: "a" type: "AbsVal" bottom: "x" top: "x" }'
        )
