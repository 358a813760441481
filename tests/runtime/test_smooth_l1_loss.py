"""SmoothL1Loss by hand, with the weights of both versions of the fork, and finite differences."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

TEXT = 'type: "SmoothL1Loss"'
A, B = np.array([[0.5, 3.0], [-2.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])  # 0.5 2 -3 0


def test_two_bottoms_by_hand(one_layer):
    layer = one_layer(TEXT, a=A, b=B)
    # 0.5 * 0.25 + (2 - 0.5) + (3 - 0.5) + 0, divided by 2 items
    assert layer.forward() == pytest.approx((0.125 + 1.5 + 2.5) / 2)
    a, b = layer.backward()
    assert_allclose(a, np.array([[0.5, 1], [-1, 0]]) / 2)
    assert_allclose(b, -a)


def test_sigma(one_layer):
    """With sigma 2 the square part ends at 1/4: f(0.1) = 0.5 * 4 * 0.01, f(0.5) = 0.5 - 1/8."""
    layer = one_layer(TEXT + " smooth_l1_loss_param { sigma: 2 }", a=[[0.1, 0.5]], b=[[0, 0]])
    assert layer.forward() == pytest.approx(0.02 + 0.375)
    assert_allclose(layer.backward()[0], [[0.4, 1]], rtol=1e-6)


def test_weights_of_the_later_version(one_layer):
    inside, outside = [[2, 1], [0, 1]], [[1, 3], [1, 1]]
    layer = one_layer(TEXT, a=A, b=B, inside=inside, outside=outside)
    # differences 1 2 0 0: f = 0.5 and 1.5, times 1 and 3
    assert layer.forward() == pytest.approx((0.5 + 4.5) / 2)
    a, b, *weights = layer.backward()
    assert_allclose(a, np.array([[1 * 2 * 1, 1 * 1 * 3], [0, 0]]) / 2)
    assert_allclose(b, -a)
    assert not np.any(weights)


def test_weights_of_the_first_version(one_layer):
    """The difference is weighted, and the gradient is f' alone."""
    layer = one_layer(TEXT, a=A, b=B, weights=[[1, 1], [0, 1]])
    assert layer.forward() == pytest.approx((0.125 + 1.5) / 2)
    assert_allclose(layer.backward()[0], np.array([[0.5, 1], [0, 0]]) / 2)
    layer = one_layer(TEXT, a=[[0.5]], b=[[0]], weights=[[0.5]])
    assert layer.forward() == pytest.approx(0.5 * 0.25**2)
    assert_allclose(layer.backward()[0], [[0.25]])


def test_loss_weight_scales_the_gradient(one_layer):
    layer = one_layer(TEXT + " loss_weight: 4", a=A, b=B)
    layer.forward()
    assert_allclose(layer.backward()[0], 2 * np.array([[0.5, 1], [-1, 0]]))


def test_finite_differences(one_layer):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 2, (2, 4, 6))
    inside, outside = rng.integers(0, 3, (2, 4, 6))
    layer = one_layer(TEXT, a=a, b=b, inside=inside, outside=outside)
    layer.forward()
    grad = layer.backward()[0]
    data, step = layer.net.blobs["a"].data, 1 / 256
    for place in np.ndindex(a.shape):
        middle, change = data[place].copy(), 0.0
        for sign in (1, -1):
            data[place] = middle + sign * step
            change += sign * float(layer.forward())
        data[place] = middle
        assert change / (2 * step) == pytest.approx(grad[place], abs=2e-2), place


def test_both_ways_to_run_a_net_give_one_gradient(tmp_path):
    """The solver's graph against pycaffe's backward, with three bottoms."""
    import caffe

    text = """
force_backward: true
layer { name: "in" type: "DummyData" top: "x" top: "t" top: "w" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 0.7 } data_filler { type: "constant" value: 0.1 }
  data_filler { type: "constant" value: 0.5 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "constant" value: 0.2 } } }
layer { name: "loss" type: "SmoothL1Loss" bottom: "y" bottom: "t" bottom: "w" top: "loss" }
"""
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1 lr_policy: "fixed"'
    )
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.forward()
    net.backward()
    solver.step(1)
    moved = 0.2 - solver.net.params["ip"][0].data
    assert_allclose(moved, net.params["ip"][0].diff, rtol=1e-6)
    # y - t = 0.42 - 0.1; f' = 0.5 * 0.32, the mean over 4 items, times x = 0.7
    assert_allclose(moved, 0.16 * 0.7, rtol=1e-5)


def test_refuses_other_shapes(refused):
    refused("must have one shape", TEXT, a=A, b=B[:1])
    refused("must have one shape", TEXT, a=A, b=B, w=A[:, :1])
    refused(r"takes 2 to 4 bottom", TEXT, a=A)
