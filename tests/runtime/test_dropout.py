"""Dropout: in TRAIN what is kept is scaled up, in TEST nothing happens."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import caffe


def dropout(ratio):
    return f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}'


def test_train_keeps_a_share_and_scales_it(one_layer):
    caffe.set_random_seed(0)
    layer = one_layer(dropout(0.25), x=np.ones(40000))
    top = layer.forward()
    assert_allclose(np.unique(top), [0, 4 / 3], rtol=1e-6)
    assert abs(np.mean(top == 0) - 0.25) < 0.01
    assert_array_equal(layer.backward(np.ones(40000)), top)  # the same mask on the way back


def test_the_seed_repeats_the_mask(one_layer):
    tops = []
    for _ in range(2):
        caffe.set_random_seed(7)
        tops.append(one_layer(dropout(0.5), x=np.ones(100)).forward())
    assert_array_equal(*tops)


@pytest.mark.parametrize(("ratio", "phase"), [(0.5, caffe.TEST), (1, caffe.TEST), (0, caffe.TRAIN)])
def test_identity(one_layer, ratio, phase):
    layer = one_layer(dropout(ratio), phase=phase, x=[1, 2, 3])
    assert_array_equal(layer.forward(), [1, 2, 3])
    assert_array_equal(layer.backward([4, 5, 6]), [4, 5, 6])


@pytest.mark.parametrize("ratio", [1, -0.1])
def test_refused(refused, ratio):
    refused("dropout_ratio", dropout(ratio), x=[1])


def test_refused_in_test(refused):
    refused("dropout_ratio", dropout(1.5), phase=caffe.TEST, x=[1])


def test_nothing_is_kept_before_the_first_forward(one_layer):
    """Caffe's mask is zeros until it is drawn."""
    assert_array_equal(one_layer(dropout(0.5), x=[1, 2, 3]).backward([4, 5, 6]), [0, 0, 0])
