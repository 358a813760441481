"""Blobs on the GPU as NumPy sees them: reading and writing at any time, as on the CPU."""

import numpy as np
import pytest
import tested_device

import caffe

NET = """force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
layer { name: "s" type: "Sigmoid" bottom: "y" top: "s" }
layer { name: "loss" type: "EuclideanLoss" bottom: "s" bottom: "x2" top: "loss" }
"""
NET = NET.replace(
    'layer { name: "ip"',
    'layer { name: "x2" type: "Input" top: "x2" input_param { shape { dim: 2 dim: 2 } } }\n'
    'layer { name: "ip"',
)
X = np.array([[1, 2, -1], [0.5, -3, 2]], np.float32)
T = np.array([[0, 1], [1, 0.5]], np.float32)
W = np.array([[0.1, -0.2, 0.3], [0.4, 0.5, -0.6]], np.float32)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def gradients(x, s, w):
    """What backward gives for the current x, sigmoid outputs and weights, by hand."""
    slope = (sigmoid(X @ W.T) - T) / 2 * s * (1 - s)  # the loss keeps its own difference
    return slope @ w, slope.T @ x


@pytest.fixture
def net(net_from):
    net = net_from(NET)
    net.blobs["x"].data[...] = X
    net.blobs["x2"].data[...] = T
    net.params["ip"][0].data[...] = W
    return net


def check(net, x, s, w):
    wanted_x, wanted_w = gradients(x, s, w)
    np.testing.assert_allclose(net.blobs["x"].diff, wanted_x, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(net.params["ip"][0].diff, wanted_w, rtol=1e-5, atol=1e-7)


def blobs_of(net):
    return [*net.blobs.values(), *net.params["ip"]]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_blobs_are_read_between_forward_and_backward(net, times):
    """A weight, an input and a Sigmoid's output, read any number of times, change no gradient."""
    net.forward()
    for _ in range(times):
        for blob in blobs_of(net):
            assert blob.data.shape == blob.diff.shape == blob.shape
    net.backward()
    check(net, X, sigmoid(X @ W.T), W)


@pytest.mark.parametrize("reads", [0, 1, 2])
@pytest.mark.parametrize("which", ["x", "s", "w"])
def test_a_single_write_before_backward_counts(net, which, reads):
    net.forward()
    values = {"x": X, "s": sigmoid(X @ W.T), "w": W}
    values[which] = values[which] * 0.5 + 0.1
    blob = net.params["ip"][0] if which == "w" else net.blobs[which]
    for _ in range(reads):
        assert blob.data.shape == blob.shape
    blob.data[...] = values[which]
    for _ in range(reads):
        np.testing.assert_array_equal(blob.data, values[which].astype(np.float32))
    net.backward()
    check(net, **values)


def test_a_layer_is_run_again_between_forward_and_backward(net):
    net.forward()
    assert net.blobs["s"].data.shape == (2, 2)
    net.blobs["x"].data[...] = 2 * X
    net.forward(start="ip", end="s")
    net.blobs["x"].data[...] = X
    net.backward()
    check(net, X, sigmoid(2 * X @ W.T), W)


def test_arrays_taken_anew_are_the_current_values(net):
    net.forward()
    first = net.blobs["s"].data.copy()
    np.testing.assert_allclose(first, sigmoid(X @ W.T), rtol=1e-5)
    net.blobs["x"].data[...] = -X
    net.forward()
    np.testing.assert_allclose(net.blobs["s"].data, sigmoid(-X @ W.T), rtol=1e-5)
    net.clear_param_diffs()
    net.backward()
    once = net.params["ip"][0].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["ip"][0].diff, 2 * once, rtol=1e-5)
    net.clear_param_diffs()
    assert not net.params["ip"][0].diff.any()


def test_shapes_are_known_without_a_copy(net, gpu):
    net.forward()
    if gpu is not None:
        gpu.waits.clear()
    assert [net.blobs[name].shape for name in ("x", "y")] == [(2, 3), (2, 2)]
    assert net.blobs["x"].count == 6
    assert gpu is None or not gpu.waits


def test_weights_are_read_and_written_between_iterations(net_from, tmp_path):
    """One update, by hand, of weights that were read twice and then written."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.5 lr_policy: "fixed" max_iter: 9 random_seed: 1'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.net.blobs["x"].data[...] = X
    solver.net.blobs["x2"].data[...] = T
    solver.step(1)
    weight = solver.net.params["ip"][0]
    assert weight.data.shape == weight.data.shape == (2, 3)
    weight.data[...] = W
    bias = solver.net.params["ip"][1]
    bias.data[...] = 0
    solver.step(1)
    wanted = W - 0.5 * gradients(X, sigmoid(X @ W.T), W)[1]
    np.testing.assert_allclose(weight.data, wanted, rtol=1e-5, atol=1e-7)
    assert solver.updater.history[0].device == solver.net.device


@tested_device.on_a_gpu
def test_nets_on_two_devices_do_not_share(net, net_from):
    caffe.set_mode_cpu()
    other = net_from(NET)
    with pytest.raises(caffe.CaffeError, match="is on cpu, and the one it shares parameters with"):
        other.share_with(net)
    net.forward()
    assert other.forward()["loss"] > 0
