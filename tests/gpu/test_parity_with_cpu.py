"""The full CaffeNet on the GPU and on the CPU: loss, gradients, weights, without dropout.

Where a layer computes wrongly on the GPU, the first difference in the order of the net shows which.
"""

from pathlib import Path

import numpy as np
import pytest
import tested_device

import caffe
from caffe import prototxt
from caffe.proto import caffe_pb2

NET = Path(__file__).resolve().parents[2] / "CNN" / "CaffeNet" / "train_val.prototxt"
# on the emulated GPU, which is the CPU, a small batch and few updates show that the test works
BATCH, UPDATES = (8, 10) if tested_device.DEVICE == "cuda" else (2, 2)
SOLVER = """
base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 max_iter: 100 random_seed: 3
snapshot_after_train: false
"""


def without_dropout():
    """CaffeNet over two Input layers; its dropout layers drop nothing."""
    given, net = prototxt.read_net(NET), caffe_pb2.NetParameter()
    for name, shape in (("data", (BATCH, 3, 227, 227)), ("label", (BATCH, 40))):
        layer = net.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
    for layer in given.layer:
        if layer.bottom:
            net.layer.add().CopyFrom(layer)
            if layer.type == "Dropout":
                net.layer[-1].dropout_param.dropout_ratio = 0
    return net


def solver_on(device):
    (caffe.set_mode_cpu if device == "cpu" else caffe.set_mode_gpu)()
    param = prototxt.parse(SOLVER, caffe_pb2.SolverParameter())
    param.net_param.CopyFrom(without_dropout())
    solver = caffe.get_solver(param)
    draw = np.random.default_rng(0)
    solver.net.blobs["data"].data[...] = draw.normal(0, 60, (BATCH, 3, 227, 227))
    solver.net.blobs["label"].data[...] = draw.dirichlet(np.full(40, 0.1), BATCH)
    return solver


def parameters(net):
    return {f"{name}[{i}]": blob for name in net.params for i, blob in enumerate(net.params[name])}


@pytest.fixture(scope="module")
def cpu():
    """The CPU's loss, blobs, gradients, and its weights after the updates."""
    solver = solver_on("cpu")
    loss = float(solver.net.forward()["loss"])
    blobs = {name: blob.data.copy() for name, blob in solver.net.blobs.items()}
    solver.net.backward()
    grads = {name: blob.diff.copy() for name, blob in parameters(solver.net).items()}
    solver.net.clear_param_diffs()
    before = {name: blob.data.copy() for name, blob in parameters(solver.net).items()}
    solver.step(UPDATES)
    after = {name: blob.data.copy() for name, blob in parameters(solver.net).items()}
    return loss, blobs, grads, before, after


def relative(found, wanted):
    """The largest difference, as a share of the largest number."""
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30))


def test_loss_and_gradients(cpu):
    loss, blobs, grads, before, _ = cpu
    solver = solver_on("gpu" if tested_device.DEVICE != "cpu" else "cpu")
    for name, blob in parameters(solver.net).items():
        np.testing.assert_array_equal(blob.data, before[name], err_msg=name)  # fillers: the CPU's
    found = float(solver.net.forward()["loss"])
    errors = {name: relative(solver.net.blobs[name].data, blobs[name]) for name in blobs}
    assert max(errors.values()) < 1e-4, errors
    assert found == pytest.approx(loss, rel=1e-5)
    solver.net.backward()
    errors = {name: relative(b.diff, grads[name]) for name, b in parameters(solver.net).items()}
    assert len(errors) == 16
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize("looked_at", [True, False], ids=["pycaffe", "command line"])
def test_weights_after_updates(cpu, looked_at):
    """What the updates have changed differs by less than a thousandth of it."""
    *_, before, after = cpu
    solver = solver_on("gpu" if tested_device.DEVICE != "cpu" else "cpu")
    solver.net.keep_blobs = looked_at
    solver.step(UPDATES)
    errors = {
        name: relative(blob.data - before[name], after[name] - before[name])
        for name, blob in parameters(solver.net).items()
    }
    assert max(errors.values()) < 1e-3, errors
