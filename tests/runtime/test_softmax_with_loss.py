"""SoftmaxWithLoss: -log of the true class's share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

SCORES = [[0, np.log(3)], [0, 0]]  # shares (1/4, 3/4) and (1/2, 1/2)


def loss(fields="", rest=""):
    return f'type: "SoftmaxWithLoss" loss_param {{ {fields} }} {rest}'


def test_forward_and_gradient(one_layer):
    layer = one_layer(loss(), x=SCORES, t=[0, 1])
    assert_allclose(layer.forward(), (np.log(4) + np.log(2)) / 2, rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-0.375, 0.375], [0.25, -0.25]], atol=1e-6)


def test_ignored_positions_have_no_gradient(one_layer):
    layer = one_layer(loss("ignore_label: 1"), x=SCORES, t=[0, 1])
    assert_allclose(layer.forward(), np.log(4), rtol=1e-6)  # divided by the one valid position
    assert_allclose(layer.backward()[0], [[-0.75, 0.75], [0, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "divisor"),
    [
        ("", 6),
        ("normalization: BATCH_SIZE", 2),
        ("normalization: NONE", 1),
        ("normalize: false", 2),
        ("normalize: true", 6),
    ],
)
def test_normalization_of_2_images_of_3_positions(one_layer, fields, divisor):
    layer = one_layer(loss(fields), x=np.zeros((2, 5, 3)), t=np.zeros((2, 3)))
    assert_allclose(layer.forward(), 6 * np.log(5) / divisor, rtol=1e-6)


def test_axis(one_layer):
    layer = one_layer(
        loss("", "softmax_param { axis: -1 }"), x=np.zeros((2, 3, 7)), t=np.zeros((2, 3))
    )
    assert_allclose(layer.forward(), np.log(7), rtol=1e-6)


def test_the_loss_is_limited_but_its_gradient_is_not(one_layer):
    layer = one_layer(loss(), x=[[0, 1000]], t=[0])
    assert_allclose(layer.forward(), -np.log(np.finfo(np.float32).tiny), rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-1, 1]])


def test_loss_weight_scales_the_gradient_only(one_layer):
    layer = one_layer(loss("", "loss_weight: 4"), x=[[0, 0]], t=[0])
    assert_allclose(layer.forward(), np.log(2), rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-2, 2]])


@pytest.mark.parametrize(
    ("labels", "match"),
    [([0, 0, 0], "labels"), ([0, 2], "outside 0..1"), ([0, -1], "outside 0..1")],
)
def test_refused_labels(refused, labels, match):
    refused(match, loss(), x=SCORES, t=labels)


def test_a_second_top_is_refused(refused):
    refused("takes 1 top", loss(), tops=2, x=SCORES, t=[0, 0])
