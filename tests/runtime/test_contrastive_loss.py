"""ContrastiveLoss: similar pairs pulled together, others pushed beyond the margin."""

import pytest
from numpy.testing import assert_allclose

A = [[3, 4], [0.6, 0.8], [3, 4]]  # distances from 0: 5, 1, 5
B = [[0, 0], [0, 0], [0, 0]]
SIMILAR = [1, 0, 0]


def contrastive(fields=""):
    return f'type: "ContrastiveLoss" contrastive_loss_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "terms"),
    [
        ("", [25, 0, 0]),  # margin 1
        ("margin: 3", [25, 4, 0]),
        ("margin: 3 legacy_version: true", [25, 3 - 1, 0]),
        ("margin: 30 legacy_version: true", [25, 30 - 1, 30 - 25]),
    ],
)
def test_forward(one_layer, fields, terms):
    loss = one_layer(contrastive(fields), a=A, b=B, similar=SIMILAR).forward()
    assert_allclose(loss, sum(terms) / (2 * 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "factors"),
    [("margin: 3", [1, -(3 - 1) / (1 + 1e-4), 0]), ("margin: 3 legacy_version: true", [1, -1, 0])],
)
def test_gradient(one_layer, fields, factors):
    layer = one_layer(contrastive(fields), a=A, b=B, similar=SIMILAR)
    layer.forward()
    a, b, similar = layer.backward()
    wanted = [[f * x / 3 for x in row] for f, row in zip(factors, A, strict=True)]
    assert_allclose(a, wanted, rtol=1e-5)
    assert_allclose(b, -a)
    assert not similar.any()


def test_a_dissimilar_pair_of_equal_features_has_no_gradient(one_layer):
    layer = one_layer(contrastive(), a=[[1, 2]], b=[[1, 2]], similar=[0])
    assert_allclose(layer.forward(), 0.5)
    assert not any(grad.any() for grad in layer.backward())  # no direction, and no NaN


def test_loss_weight(one_layer):
    layer = one_layer("loss_weight: 2 " + contrastive(), a=[[3, 4]], b=[[0, 0]], similar=[1])
    assert_allclose(layer.forward(), 12.5)  # the top is not weighted
    assert_allclose(layer.backward()[0], [[6, 8]])


@pytest.mark.parametrize(
    ("bottoms", "match"),
    [
        ({"b": [[1, 2, 3]] * 3}, "of one shape"),
        ({"similar": [1, 0]}, "3 pairs need as many flags"),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, "of one shape"),
    ],
)
def test_refused(refused, bottoms, match):
    refused(match, contrastive(), **{"a": A, "b": B, "similar": SIMILAR, **bottoms})
