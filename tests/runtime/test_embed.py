"""Embed: numbers become rows."""

import pytest
from numpy.testing import assert_allclose

ROWS = [[1, 2], [3, 4], [5, 6]]


def embed(fields):
    return f'type: "Embed" embed_param {{ {fields} }}'


def test_forward_and_gradients(one_layer):
    layer = one_layer(embed("input_dim: 3 num_output: 2"), x=[[2, 0, 2]])
    layer.blobs[0].data[...] = ROWS
    layer.blobs[1].data[...] = [10, 20]
    assert_allclose(layer.forward(), [[[15, 26], [11, 22], [15, 26]]])
    layer.backward([[[1, 2], [3, 4], [5, 6]]])
    assert_allclose(layer.blobs[0].diff, [[3, 4], [0, 0], [6, 8]])
    assert_allclose(layer.blobs[1].diff, [9, 12])


def test_without_bias(one_layer):
    layer = one_layer(embed("input_dim: 3 num_output: 2 bias_term: false"), x=[1])
    layer.blobs[0].data[...] = ROWS
    assert_allclose(layer.forward(), [[3, 4]])
    assert len(layer.blobs) == 1


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("input_dim: 3", "num_output"),
        ("num_output: 3", "input_dim"),
        ("input_dim: 2 num_output: 1", r"index 2 is outside 0\.\.1"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, embed(fields), x=[2])
