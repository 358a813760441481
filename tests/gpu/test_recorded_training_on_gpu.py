"""Every recorded training run of BVLC Caffe, on the GPU in fp32; snapshots between devices.

Tolerances, after 30 iterations: 2e-3 for the losses, which are about 27, and 2e-4 for the weights.
Rounding alone can put a number on the other side of a kink of ReLU or of max pooling, and from
there on the runs differ by up to 1e-4 (tests/runtime/test_solver.py has an example).
"""

import numpy as np
import pytest
import tested_device
from recorded_training import RUNS, make_solver, worst

import caffe
from caffe import lr_policy

LOSS, WEIGHTS = 2e-3, 2e-4
CHOSEN = RUNS if tested_device.DEVICE == "cuda" else ["adam", "sgd_itersize2"]


@pytest.fixture
def folder(golden, monkeypatch):
    monkeypatch.chdir(golden / "train")


def loss_of(solver):
    return float(solver.training_log.losses[-1])


@pytest.mark.parametrize("looked_at", [True, False], ids=["pycaffe", "command line"])
@pytest.mark.parametrize("run", CHOSEN)
def test_recorded_run(folder, tmp_path, run, looked_at):
    """The whole run; with `looked_at`, all blobs and diffs are kept, as for users of pycaffe."""
    arrays = np.load(f"npz/{run}.npz")
    solver = make_solver(run, tmp_path)
    solver.net.copy_from("init.caffemodel")
    solver.net.keep_blobs = looked_at
    losses, rates = [], []
    for i in range(30):
        rates.append(lr_policy.rate(solver.param, i, solver.updater.current_step)[0])
        solver.step(1)
        losses.append(loss_of(solver))
    solver.close()
    np.testing.assert_allclose(losses, arrays["loss"], rtol=0, atol=LOSS)
    np.testing.assert_allclose(rates, arrays["lr"], rtol=1e-6)
    assert worst(solver.net, arrays, "final") <= WEIGHTS


@pytest.mark.parametrize("first", ["gpu", "cpu"])
def test_a_snapshot_resumes_on_the_other_device(folder, tmp_path, first):
    """15 iterations here, 15 there, with the recorded losses of all 30."""
    arrays = np.load("npz/sgd_step.npz")

    def on(device):
        gpu = device == "gpu" and tested_device.DEVICE != "cpu"
        (caffe.set_mode_gpu if gpu else caffe.set_mode_cpu)()
        return make_solver("sgd_step", tmp_path)

    one = on(first)
    one.net.copy_from("init.caffemodel")
    one.step(15)
    _, state = one.snapshot()
    one.close()
    two = on("cpu" if first == "gpu" else "gpu")
    two.restore(state)
    assert two.iter == 15
    losses = []
    for _ in range(15):
        two.step(1)
        losses.append(loss_of(two))
    two.close()
    np.testing.assert_allclose(losses, arrays["loss"][15:], rtol=0, atol=LOSS)
    assert worst(two.net, arrays, "final") <= WEIGHTS
