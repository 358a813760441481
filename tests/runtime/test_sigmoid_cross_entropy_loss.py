"""SigmoidCrossEntropyLoss: summed over topics, divided by the batch."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

LN2 = np.log(2)


def loss(fields="", rest=""):
    return f'type: "SigmoidCrossEntropyLoss" loss_param {{ {fields} }} {rest}'


def test_forty_topics_start_at_40_ln_2(one_layer):
    layer = one_layer(loss(), x=np.zeros((3, 40)), t=np.full((3, 40), 1 / 40))
    assert_allclose(layer.forward(), 40 * LN2, rtol=1e-6)


def test_gradient_is_sigmoid_minus_target(one_layer):
    layer = one_layer(loss(), x=[[0, np.log(3)], [0, 0]], t=[[1, 0.5], [0, 0.5]])
    layer.forward()
    grad, _ = layer.backward()
    assert_allclose(grad, [[-0.25, 0.125], [0.25, 0]], atol=1e-6)


def test_large_scores_do_not_overflow(one_layer):
    assert_allclose(one_layer(loss(), x=[[1000, -1000]], t=[[0, 0]]).forward(), 1000)


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ("", 3 * LN2),
        ("normalization: BATCH_SIZE", 3 * LN2),
        ("normalization: FULL", LN2),
        ("normalization: VALID", LN2),
        ("normalization: NONE", 6 * LN2),
        ("normalize: true", LN2),
        ("normalize: false", 3 * LN2),
        ("normalize: true normalization: NONE", 6 * LN2),
        ("ignore_label: 1 normalization: VALID", LN2),
        ("ignore_label: 1", 2 * LN2),  # four of six elements count, the batch is two
    ],
)
def test_normalization(one_layer, fields, value):
    layer = one_layer(loss(fields), x=np.zeros((2, 3)), t=[[1, 0, 0.3], [1, 0, 0.9]])
    assert_allclose(layer.forward(), value, rtol=1e-6)


def test_ignore_label_truncates_the_target_to_an_integer(one_layer):
    layer = one_layer(loss("ignore_label: 0"), x=np.zeros((1, 3)), t=[[0.9, -0.9, 1]])
    assert_allclose(layer.forward(), LN2, rtol=1e-6)  # only the 1 is left
    assert_allclose(layer.backward()[0], [[0, 0, -0.5]])


def test_loss_weight_scales_the_gradient_only(one_layer):
    layer = one_layer(loss("", "loss_weight: 10"), x=[[0]], t=[[1]])
    assert_allclose(layer.forward(), LN2, rtol=1e-6)
    assert_allclose(layer.backward()[0], [[-5]])


@pytest.mark.parametrize("shape", [(2, 40, 1, 1), (2, 1, 40, 1)])
def test_targets_may_have_another_shape_of_the_same_count(one_layer, shape):
    assert_allclose(
        one_layer(loss(), x=np.zeros((2, 40)), t=np.zeros(shape)).forward(), 40 * LN2, rtol=1e-6
    )


@pytest.mark.parametrize("shape", [(80,), (2, 39)])
def test_refused(refused, shape):
    refused("must agree", loss(), x=np.zeros((2, 40)), t=np.zeros(shape))
