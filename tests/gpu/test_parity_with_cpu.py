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
REAL = tested_device.DEVICE == "cuda"
# where the CPU stands for the GPU, a small batch and small inner products show that the test works
BATCH, UPDATES = (8, 10) if REAL else (2, 2)
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
            if layer.name in ("fc6", "fc7") and not REAL:
                net.layer[-1].inner_product_param.num_output = 64
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


DEVICE = "cpu" if tested_device.DEVICE == "cpu" else "gpu"


def largest(found, wanted):
    """The largest difference, as a share of the largest number."""
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-30))


def typical(found, wanted):
    """The norm of the difference, as a share of the norm."""
    return float(np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-30))


def test_each_layer():
    """Given the CPU's numbers, every layer of the GPU computes the same to 1e-4, both ways.

    All layers get the same bits, so max pooling and ReLU choose alike.
    """
    ours, theirs = solver_on(DEVICE).net, solver_on("cpu").net
    errors = {}
    for i, (mine, wanted) in enumerate(zip(ours.nodes, theirs.nodes, strict=True)):
        for blob, source in zip(mine.bottoms, wanted.bottoms, strict=True):
            blob.data[...] = source.data
        for net in (ours, theirs):
            net.run_layers(i, i)
        for blob, source in zip(mine.tops, wanted.tops, strict=True):
            errors[f"{mine.name} forward"] = largest(blob.data, source.data)
    for blob, source in zip(ours.blob_list, theirs.blob_list, strict=True):
        blob.data[...] = source.data
    for i in range(len(ours.nodes) - 1, -1, -1):
        mine, wanted = ours.nodes[i], theirs.nodes[i]
        for blob, source in zip(mine.tops, wanted.tops, strict=True):
            blob.diff[...] = source.diff
        for net in (ours, theirs):
            net.run_layers_back(i, i)
        needed = [b for b, need in zip(mine.bottoms, mine.bottom_needs, strict=True) if need]
        sources = [b for b, need in zip(wanted.bottoms, wanted.bottom_needs, strict=True) if need]
        for blob, source in zip(needed, sources, strict=True):
            errors[f"{mine.name} backward"] = largest(blob.diff, source.diff)
        for k, (blob, source) in enumerate(zip(mine.layer.blobs, wanted.layer.blobs, strict=True)):
            errors[f"{mine.name} gradient {k}"] = largest(blob.diff, source.diff)
    assert len(errors) > 16 + 2 * 20
    assert max(errors.values()) < 1e-4, errors


@pytest.fixture(scope="module")
def cpu():
    """The CPU's loss and gradients, and its weights before and after the updates."""
    solver = solver_on("cpu")
    solver.net.forward()
    loss = float(solver.net.blobs["loss"].data)
    solver.net.backward()
    grads = {name: blob.diff.copy() for name, blob in parameters(solver.net).items()}
    solver.net.clear_param_diffs()
    before = {name: blob.data.copy() for name, blob in parameters(solver.net).items()}
    solver.step(UPDATES)
    after = {name: blob.data.copy() for name, blob in parameters(solver.net).items()}
    return loss, grads, before, after


def test_loss_and_gradients(cpu):
    """Of the whole net: 1e-5 for the loss; 5e-3 for the norms of the gradients.

    In half a million windows of pool1, a few maxima are so nearly equal that rounding decides which
    one is taken.  Each of them moves the gradient of conv1 by up to a thousandth.
    """
    loss, grads, before, _ = cpu
    solver = solver_on(DEVICE)
    for name, blob in parameters(solver.net).items():
        np.testing.assert_array_equal(blob.data, before[name], err_msg=name)  # the CPU's fillers
    solver.net.forward()
    assert float(solver.net.blobs["loss"].data) == pytest.approx(loss, rel=1e-5)
    solver.net.backward()
    errors = {name: typical(b.diff, grads[name]) for name, b in parameters(solver.net).items()}
    assert len(errors) == 16
    assert max(errors.values()) < 5e-3, errors


@pytest.mark.parametrize("looked_at", [True, False], ids=["pycaffe", "command line"])
def test_weights_after_updates(cpu, looked_at):
    """Weights differ by less than 2 % of what the updates have changed, and their own resolution.

    The first updates of conv1 are a hundred times as large as the last bit of its weights.
    """
    *_, before, after = cpu
    solver = solver_on(DEVICE)
    solver.net.keep_blobs = looked_at
    solver.step(UPDATES)
    for name, blob in parameters(solver.net).items():
        changed = np.abs(after[name] - before[name]).max()
        assert changed > 0 or name == "conv5[1]", name
        bits = UPDATES * float(np.spacing(np.abs(after[name]).max()))
        assert np.abs(blob.data - after[name]).max() <= 0.02 * changed + bits, name
