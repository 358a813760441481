"""Filter: the items that a selector lets through."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

A, B = [[1, 2], [3, 4], [5, 6]], [7, 8, 9]


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Filter"', tops=2, a=A, b=B, selector=[1, 0, 2])
    a, b = layer.forward()
    assert_array_equal(a, [[1, 2], [5, 6]])
    assert_array_equal(b, [7, 9])
    a, b, none = layer.backward([[10, 20], [50, 60]], [70, 90])
    assert_array_equal(a, [[10, 20], [0, 0], [50, 60]])
    assert_array_equal(b, [70, 0, 90])
    assert not none.any()


def test_the_selection_changes_with_every_forward(one_layer):
    layer = one_layer('type: "Filter"', a=A, selector=[[1], [0], [0]])
    assert layer.net.blobs["top0"].shape == (3, 2)  # before the first: all of them
    assert_array_equal(layer.forward(), [[1, 2]])
    layer.net.blobs["selector"].data[...] = [[1], [1], [1]]
    assert_array_equal(layer.forward(), A)
    layer.net.blobs["selector"].data[...] = 0
    assert layer.forward().shape == (0, 2)


@pytest.mark.parametrize(
    ("tops", "selector", "match"),
    [
        (1, [1, 0], "differ in their first axis"),
        (1, np.ones((3, 2)), "one value per item"),
        (2, [1, 1, 1], "1 bottoms before the selector and 2 tops"),
    ],
)
def test_refused(refused, tops, selector, match):
    refused(match, 'type: "Filter"', tops=tops, a=A, selector=selector)
