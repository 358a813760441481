"""Layers written in Python, with parameters of their own, in a net on the GPU."""

import numpy as np
import pytest

import caffe

CODE = """
import caffe


class Shift(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(3)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        for _ in range(2):
            assert bottom[0].data.shape == top[0].data.shape
        top[0].data[...] = bottom[0].data * bottom[0].data + self.blobs[0].data

    def backward(self, top, propagate_down, bottom):
        for _ in range(2):
            assert bottom[0].data.shape == self.blobs[0].data[None].repeat(2, 0).shape
        bottom[0].diff[...] = 2 * bottom[0].data * top[0].diff
        self.blobs[0].diff[...] += top[0].diff.sum(0)
"""
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "scale" type: "Scale" bottom: "x" top: "y" }
layer { name: "shift" type: "Python" bottom: "y" top: "z"
  python_param { module: "shift_on_gpu" layer: "Shift" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "t" top: "loss" }
"""
X = np.array([[1, 2, -1], [0.5, -3, 2]], np.float32)
T = np.array([[2, 3, 1], [1, 9, 4]], np.float32)


@pytest.mark.parametrize("looked_at", [True, False], ids=["pycaffe", "command line"])
def test_a_learnable_python_layer(tmp_path, monkeypatch, looked_at):
    """Two updates by hand: z = (s x)^2 + b; gradients and history are where the net is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shift_on_gpu.py").write_text(CODE)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "s.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 9'
    )
    solver = caffe.get_solver("s.prototxt")
    solver.net.keep_blobs = looked_at
    solver.net.blobs["x"].data[...] = X
    solver.net.blobs["t"].data[...] = T
    s, b = np.ones(3), np.zeros(3)
    h_s, h_b = np.zeros(3), np.zeros(3)
    for _ in range(2):
        slope = ((s * X) ** 2 + b - T) / 2
        h_s = 0.9 * h_s + 0.01 * (slope * 2 * s * X * X).sum(0)
        h_b = 0.9 * h_b + 0.01 * slope.sum(0)
        s, b = s - h_s, b - h_b
    solver.step(2)
    np.testing.assert_allclose(solver.net.params["scale"][0].data, s, rtol=1e-5)
    np.testing.assert_allclose(solver.net.params["shift"][0].data, b, rtol=1e-5)
    parameter = solver.net.params["shift"][0]
    tensors = [parameter.tensor(), parameter.diff_tensor(), *solver.updater.history]
    assert {tensor.device for tensor in tensors} == {solver.net.device}


def test_blobs_of_a_layer_object_are_where_new_nets_are():
    """A layer may make its parameters in its constructor, before it belongs to a net."""
    layer = caffe.Layer()
    assert layer.blobs.add_blob(2).tensor().device.type == caffe.mode.device().type
