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
    # means 1 and 20, deviations 2 and 10
    assert_allclose(layer.forward(), [[0, -1], [1, 1]], rtol=1e-6)
    assert_allclose(layer.backward(np.ones((2, 2))), [[0.5, 0.1], [0.5, 0.1]], rtol=1e-6)
    assert_allclose(layer.blobs[2].data, [2])


def test_without_statistics_only_eps_counts(one_layer):
    layer = one_layer('type: "BatchNorm" batch_norm_param { eps: 0.25 }', phase=caffe.TEST, x=X)
    assert_allclose(layer.forward(), 2 * np.array(X), rtol=1e-6)


def test_gradient_in_train(one_layer):
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 3))
    diff = np.random.default_rng(1).standard_normal(x.shape)
    layer = one_layer(bn(), x=x)
    y = layer.forward()
    grad = layer.backward(diff)
    mean = lambda a: a.mean(axis=(0, 2, 3), keepdims=True)  # noqa: E731
    wanted = (diff - mean(diff) - y * mean(y * diff)) / x.std(axis=(0, 2, 3), keepdims=True)
    assert_allclose(grad, wanted, rtol=1e-4, atol=1e-5)


def test_use_global_stats_overrules_the_phase(one_layer):
    layer = one_layer(bn("use_global_stats: false"), phase=caffe.TEST, x=X)
    assert_allclose(layer.forward(), [[-1, -1], [1, 1]], rtol=1e-6)
    layer = one_layer('type: "BatchNorm" batch_norm_param { use_global_stats: true eps: 1 }', x=X)
    assert_allclose(layer.forward(), X)


def test_a_single_value_per_channel(one_layer):
    layer = one_layer('type: "BatchNorm"', x=[[5, 7]])
    assert_allclose(layer.forward(), [[0, 0]])
    assert_allclose(layer.blobs[0].data, [5, 7])
    assert_allclose(layer.blobs[1].data, [0, 0])


def test_the_statistics_are_not_learnt(one_layer):
    layer = one_layer(bn(), x=X)
    assert [p.lr_mult for p in layer.net.learnable] == [0, 0, 0]


@pytest.mark.parametrize("specs", ["param { lr_mult: 1 }", "param { lr_mult: 0 } param { }"])
def test_a_learning_rate_is_refused(refused, specs):
    refused("lr_mult must be 0", bn("", specs), x=X)


def test_refuses_one_axis(refused):
    refused("at least 2 axes", bn(), x=[1, 2])


@pytest.mark.parametrize("specs", ["lr_mult: 0", "lr_mult: 1 decay_mult: 2", ""])
def test_statistics_of_one_name_are_shared(net_from, specs):
    """Three `param` entries get lr_mult and decay_mult 0 and keep their names.

    Both layers therefore add to the same factor blob.
    """
    entries = " ".join(
        f'param {{ name: "{name}" {specs} }}' for name in ("mean", "variance", "factor")
    )
    net = net_from(
        "".join(
            f'layer {{ name: "x{i}" type: "Input" top: "x{i}"'
            " input_param { shape { dim: 2 dim: 2 } } }"
            f'layer {{ name: "bn{i}" type: "BatchNorm" bottom: "x{i}" top: "y{i}" {entries} }}'
            for i in range(2)
        )
    )
    assert [p.lr_mult for p in net.learnable] == [0, 0, 0]
    assert [p.decay_mult for p in net.learnable] == [0, 0, 0]
    net.blobs["x0"].data[...] = X
    net.blobs["x1"].data[...] = [[0, 0], [2, 4]]  # means 1 and 2, unbiased variances 2 and 8
    net.forward()
    for i in range(2):
        mean, variance, factor = (blob.data for blob in net.params[f"bn{i}"])
        assert_allclose(factor, [1.999], rtol=1e-6)
        assert_allclose(mean, [2 * 0.999 + 1, 20 * 0.999 + 2], rtol=1e-6)
        assert_allclose(variance, [2 * 0.999 + 2, 200 * 0.999 + 8], rtol=1e-6)


def test_a_net_of_a_users_report(shared_cases):
    """A user's net: after one forward in TRAIN Caffe's shared factor is 1.999."""
    net = caffe.Net(str(shared_cases / "batchnorm_param.prototxt"), caffe.TRAIN)
    net.forward()
    assert_allclose(net.params["bn_p"][2].data, [1.999], rtol=1e-6)


def test_updates_do_not_reach_the_statistics(tmp_path):
    """No learning rate and no decay reaches them, whatever the prototxt says."""
    entries = "param { lr_mult: 1 decay_mult: 1 } " * 3
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param {'
        ' shape { dim: 4 dim: 2 } data_filler { type: "constant" value: 3 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"'
        " inner_product_param { num_output: 2 bias_filler { value: 1 } } }"
        f'layer {{ name: "bn" type: "BatchNorm" bottom: "ip" top: "bn" {entries} }}'
        'layer { name: "loss" type: "Reduction" bottom: "bn" top: "loss" loss_weight: 1 }'
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1 weight_decay: 0.5 lr_policy: "fixed"'
        f' snapshot_prefix: "{tmp_path}/s"'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.step(1)
    mean, variance, factor = (blob.data for blob in solver.net.params["bn"])
    assert_allclose(mean, [1, 1])
    assert_allclose(variance, [0, 0], atol=1e-6)
    assert_allclose(factor, [1])


def test_the_bottoms_diff_is_always_written(net_from):
    """As in Caffe, even if no layer asks for it; BatchNorm needs backward without any `param`."""
    net = net_from(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 1 } } }'
        'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param { eps: 0 } }'
        'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 4 dim: 1 } } }'
        'layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }'
    )
    assert [node.needs_backward for node in net.nodes] == [False, True, False, True]
    assert net.nodes[1].bottom_needs == [False]
    net.blobs["x"].data[...] = [[0], [0], [2], [2]]  # normalised: -1 -1 1 1
    net.blobs["t"].data[...] = [[-1], [-1], [1], [-1]]  # differences: 0 0 0 2
    net.forward()
    net.backward()
    # dy = (0, 0, 0, 2) / 4, its mean 1/8, y times the mean of y dy is y / 8, and the deviation is 1
    assert_allclose(net.blobs["x"].diff.ravel(), [0, 0, -0.25, 0.25], atol=1e-6)
