"""BatchReindex: items picked by index."""

import pytest
from numpy.testing import assert_array_equal

X = [[1, 2], [3, 4], [5, 6]]


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "BatchReindex"', x=X, order=[2, 0, 2, 2])
    assert_array_equal(layer.forward(), [[5, 6], [1, 2], [5, 6], [5, 6]])
    grad, none = layer.backward([[1, 2], [3, 4], [10, 20], [100, 200]])
    assert_array_equal(grad, [[3, 4], [0, 0], [111, 222]])
    assert not none.any()


@pytest.mark.parametrize("index", [-1, 3])
def test_refuses_an_index_out_of_range(refused, index):
    refused(rf"index {index} is outside 0\.\.2", 'type: "BatchReindex"', x=X, order=[0, index])


def test_refuses_indices_of_two_axes(refused):
    refused("1 axis with indices", 'type: "BatchReindex"', x=X, order=[[0, 1]])


def test_takes_two_bottoms(refused):
    refused(r"takes 2 bottom blob\(s\)", 'type: "BatchReindex"', x=X)
