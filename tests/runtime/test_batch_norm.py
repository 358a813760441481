"""BatchNorm: statistics of the batch, remembered as decaying sums."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import caffe

X = [[1, 10], [3, 30]]  # two channels: means 2 and 20, variances 1 and 100 (unbiased 2 and 200)


def bn(fields="", rest=""):
    return f'type: "BatchNorm" batch_norm_param {{ eps: 0 {fields} }} {rest}'


def test_train_normalises_with_the_biased_and_remembers_the_unbiased_variance(one_layer):
    layer = one_layer(bn("moving_average_fraction: 0.5"), x=X)
    assert_allclose(layer.forward(), [[-1, -1], [1, 1]], rtol=1e-6)
    for blob, value in zip(layer.blobs, ([2, 20], [2, 200], [1]), strict=True):
        assert_allclose(blob.data, value, rtol=1e-6)
    layer.forward()
    for blob, value in zip(layer.blobs, ([3, 30], [3, 300], [1.5]), strict=True):
        assert_allclose(blob.data, value, rtol=1e-6)


def test_test_divides_the_sums_by_the_third_blob(one_layer):
    layer = one_layer(bn(), phase=caffe.TEST, x=X)
    for blob, value in zip(layer.blobs, ([2, 40], [8, 200], [2]), strict=True):
        blob.data[...] = value
    assert_allclose(layer.forward(), [[0, -1], [1, 1]], rtol=1e-6)  # means 1 and 20, deviations 2 and 10
    assert_allclose(layer.backward(np.ones((2, 2))), [[0.5, 0.1], [0.5, 0.1]], rtol=1e-6)
    assert_allclose(layer.blobs[2].data, [2])


def test_without_statistics_only_eps_counts(one_layer):
    layer = one_layer('type: "BatchNorm" batch_norm_param { eps: 0.25 }', phase=caffe.TEST, x=X)
    assert_allclose(layer.forward(), 2 * np.array(X), rtol=1e-6)


def test_gradient_in_train_has_no_mean_and_none_along_the_top(one_layer):
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 3))
    diff = np.random.default_rng(1).standard_normal(x.shape)
    layer = one_layer(bn(), x=x)
    y = layer.forward()
    grad = layer.backward(diff)
    mean = lambda a: a.mean(axis=(0, 2, 3), keepdims=True)  # noqa: E731
    wanted = (diff - mean(diff) - y * mean(y * diff)) / x.std(axis=(0, 2, 3), keepdims=True)
    assert_allclose(grad, wanted, rtol=1e-4, atol=1e-5)


def test_use_global_stats_decides_over_the_phase(one_layer):
    layer = one_layer(bn("use_global_stats: false"), phase=caffe.TEST, x=X)
    assert_allclose(layer.forward(), [[-1, -1], [1, 1]], rtol=1e-6)
    layer = one_layer('type: "BatchNorm" batch_norm_param { use_global_stats: true eps: 1 }', x=X)
    assert_allclose(layer.forward(), X)


def test_one_value_a_channel(one_layer):
    layer = one_layer('type: "BatchNorm"', x=[[5, 7]])
    assert_allclose(layer.forward(), [[0, 0]])
    assert_allclose(layer.blobs[0].data, [5, 7])
    assert_allclose(layer.blobs[1].data, [0, 0])


def test_the_statistics_are_not_learnt(one_layer):
    layer = one_layer(bn(), x=X)
    assert layer.net.lr_mult == [0, 0, 0]


@pytest.mark.parametrize("specs", ["param { lr_mult: 1 }", "param { lr_mult: 0 } param { }"])
def test_a_learning_rate_is_refused(refused, specs):
    refused("lr_mult must be 0", bn("", specs), x=X)


def test_refuses_one_axis(refused):
    refused("at least 2 axes", bn(), x=[1, 2])
