"""HingeLoss: every class compared with 0."""

import pytest
from numpy.testing import assert_allclose

X, LABELS = [[2, -0.5, 0.5], [0.5, -2, 3]], [0, 0]
# margins 1 - s x: [-1, 0.5, 1.5] and [0.5, -1, 4], cut at 0


def hinge(fields=""):
    return f'type: "HingeLoss" hinge_loss_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "loss", "grad"),
    [
        ("", (0.5 + 1.5 + 0.5 + 4) / 2, [[0, 0.5, 0.5], [-0.5, 0, 0.5]]),
        ("norm: L2", (0.25 + 2.25 + 0.25 + 16) / 2, [[0, 0.5, 1.5], [-0.5, 0, 4]]),
    ],
)
def test_forward_and_gradient(one_layer, fields, loss, grad):
    layer = one_layer(hinge(fields), x=X, t=LABELS)
    assert_allclose(layer.forward(), loss)
    found, none = layer.backward()
    assert_allclose(found, grad)
    assert not none.any()


def test_loss_weight(one_layer):
    layer = one_layer("loss_weight: 4 " + hinge(), x=X, t=LABELS)
    layer.forward()
    assert_allclose(layer.backward()[0], [[0, 2, 2], [-2, 0, 2]])


@pytest.mark.parametrize(
    ("labels", "match"),
    [([0, 3], r"label 3 is outside 0\.\.2"), ([-1, 0], "label -1"), ([0], "one label per item")],
)
def test_refused(refused, labels, match):
    refused(match, hinge(), x=X, t=labels)
