"""InfogainLoss: the classes' terms weighted by a matrix."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import caffe

X = np.log([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])  # softmax gives these back
LABELS = [0, 2]
H = [[1, 0, 0], [0, 1, 0], [0.5, 0, 2]]
TERMS = [-np.log(0.5), -0.5 * np.log(0.1) - 2 * np.log(0.7)]


def infogain(fields="", loss=""):
    return f'type: "InfogainLoss" infogain_loss_param {{ {fields} }} loss_param {{ {loss} }}'


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("", sum(TERMS) / 2),
        ("normalization: NONE", sum(TERMS)),
        ("ignore_label: 0", TERMS[1]),
        ("ignore_label: 0 normalization: FULL", TERMS[1] / 2),
    ],
)
def test_forward(one_layer, loss, wanted):
    assert_allclose(one_layer(infogain(loss=loss), x=X, t=LABELS, h=H).forward(), wanted, rtol=1e-5)


def test_gradient(one_layer):
    layer = one_layer(infogain(), x=X, t=LABELS, h=H)
    layer.forward()
    grad, *none = layer.backward()
    # of an item: (sum of its row of H) p - its row of H, over 2 items
    wanted = [[0.5 - 1, 0.25, 0.25], [2.5 * 0.1 - 0.5, 2.5 * 0.2, 2.5 * 0.7 - 2]]
    assert_allclose(grad, np.divide(wanted, 2), rtol=1e-5, atol=1e-7)
    assert not any(n.any() for n in none)


def test_the_identity_is_softmax_with_loss(one_layer):
    x, labels = np.random.default_rng(0).normal(size=(2, 3, 4)), [[0, 1, 2, 0], [1, 1, 0, 2]]
    mine = one_layer(infogain(), x=x, t=labels, h=np.eye(3))
    theirs = one_layer('type: "SoftmaxWithLoss"', x=x, t=labels)
    assert_allclose(mine.forward(), theirs.forward(), rtol=1e-6)
    assert_allclose(mine.backward()[0], theirs.backward()[0], atol=1e-7)


def test_matrix_from_a_file(one_layer, tmp_path):
    path = tmp_path / "h.binaryproto"
    path.write_bytes(caffe.io.array_to_blobproto(np.reshape(H, (1, 1, 3, 3))).SerializeToString())
    assert_allclose(
        one_layer(infogain(f'source: "{path}"'), x=X, t=LABELS).forward(), sum(TERMS) / 2, rtol=1e-5
    )
    path.write_bytes(b"no protobuf")
    with pytest.raises(caffe.CaffeError, match=r"h.binaryproto: is truncated or not a Caffe file"):
        one_layer(infogain(f'source: "{path}"'), x=X, t=LABELS)


def test_second_top_holds_the_probabilities(one_layer):
    layer = one_layer("loss_weight: 1 loss_weight: 0 " + infogain(), tops=2, x=X, t=LABELS, h=H)
    assert_allclose(layer.forward()[1], np.exp(X), rtol=1e-6)


def test_a_probability_of_0(one_layer):
    layer = one_layer(infogain(), x=[[0, 200]], t=[0], h=np.eye(2))
    assert_allclose(layer.forward(), -np.log(1e-20), rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-1, 1]])


@pytest.mark.parametrize(
    ("fields", "loss", "bottoms", "match"),
    [
        ("", "normalize: true", {"h": H}, "normalize is not for this layer"),
        ("", "", {}, "source is missing"),
        ('source: "none"', "", {}, "none: No such file"),
        ("", "", {"h": np.eye(2)}, "3 x 3 values, it holds 4"),
        ("axis: 2", "", {"h": H}, "axis 2 is out of range"),
        ("", "", {"t": [0, 3], "h": H}, r"label 3 is outside 0\.\.2"),
        ("", "", {"t": [0], "h": H}, "do not agree along axis 1"),
    ],
)
def test_refused(refused, fields, loss, bottoms, match):
    refused(match, infogain(fields, loss), **{"x": X, "t": LABELS, **bottoms})
