"""Accuracy: a hit needs fewer than top_k other classes at or above the true one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

SCORES = [[3, 2, 1], [1, 3, 2], [1, 2, 3], [2, 2, 1]]


def accuracy(fields=""):
    return f'type: "Accuracy" accuracy_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ("", 0.25),  # only the first: in the last the true class ties
        ("top_k: 2", 0.75),
        ("top_k: 3", 1),
        ("ignore_label: 2", 1 / 3),
    ],
)
def test_top_k(one_layer, fields, value):
    assert_allclose(
        one_layer(accuracy(fields), x=SCORES, t=[0, 2, 0, 1]).forward(), value, rtol=1e-6
    )


def test_accuracy_per_class(one_layer):
    total, each = one_layer(accuracy(), tops=2, x=SCORES, t=[0, 1, 0, 0]).forward()
    assert_allclose(total, 0.5)
    assert_allclose(each, [1 / 3, 1, 0], rtol=1e-6)  # no position has class 2


def test_axis(one_layer):
    x = np.moveaxis(np.reshape(SCORES, (2, 2, 3)), -1, 1)  # (N, classes, positions)
    assert_allclose(one_layer(accuracy(), x=x, t=[[0, 1], [2, 0]]).forward(), 0.75)


@pytest.mark.parametrize(
    ("fields", "labels", "match"), [("top_k: 4", [0] * 4, "top_k 4"), ("", [0] * 3, "do not agree")]
)
def test_refused(refused, fields, labels, match):
    refused(match, accuracy(fields), x=SCORES, t=labels)
