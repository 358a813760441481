"""InnerProduct: y = W x + b over the flattened axes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


def ip(fields):
    return f'type: "InnerProduct" inner_product_param {{ {fields} }}'


def test_forward_and_gradients(one_layer):
    layer = one_layer(ip("num_output: 2"), x=[[1, 2, 3]])
    layer.blobs[0].data[...] = [[1, 0, 1], [0, 2, 0]]
    layer.blobs[1].data[...] = [10, 20]
    assert_allclose(layer.forward(), [[14, 24]])
    assert_allclose(layer.backward([[1, 5]]), [[1, 10, 1]])
    assert_allclose(layer.blobs[0].diff, [[1, 2, 3], [5, 10, 15]])
    assert_allclose(layer.blobs[1].diff, [1, 5])


def test_parameter_diffs_add_up(one_layer):
    layer = one_layer(ip("num_output: 1"), x=[[1, 2, 3]])
    for _ in range(2):
        layer.forward()
        layer.backward([[1]])
    assert_allclose(layer.blobs[0].diff, [[2, 4, 6]])


@pytest.mark.parametrize(
    ("fields", "top", "weight"),
    [
        ("num_output: 5", (2, 5), (5, 12)),
        ("num_output: 5 axis: 2", (2, 3, 5), (5, 4)),
        ("num_output: 5 axis: -1", (2, 3, 5), (5, 4)),
        ("num_output: 5 axis: 0", (5,), (5, 24)),
        ("num_output: 5 transpose: true", (2, 5), (12, 5)),
    ],
)
def test_shape(one_layer, fields, top, weight):
    layer = one_layer(ip(fields), x=np.ones((2, 3, 4)))
    assert layer.forward().shape == top
    assert layer.blobs[0].shape == weight


def test_transpose_reads_the_weights_by_columns(one_layer):
    layer = one_layer(ip("num_output: 2 transpose: true bias_term: false"), x=[[1, 2, 3]])
    assert len(layer.blobs) == 1
    layer.blobs[0].data[...] = [[1, 0], [0, 2], [1, 0]]
    assert_allclose(layer.forward(), [[4, 4]])


@pytest.mark.parametrize(
    ("fields", "match"), [("", "num_output"), ("num_output: 1 axis: 2", "axis 2 is out of range")]
)
def test_refused(refused, fields, match):
    refused(match, ip(fields), x=np.ones((1, 2)))


def test_a_changed_width_is_refused(one_layer, net_from):
    layer = one_layer(ip("num_output: 1"), x=np.ones((1, 2)))
    layer.net.blobs["x"].reshape(1, 3)
    with pytest.raises(RuntimeError, match="was made for 2 inputs"):
        layer.forward()
