"""A training that diverges: NaN and infinite losses and weights stop it, and never reach a
snapshot.
"""

import numpy as np
import pytest

import caffe


@pytest.fixture
def make(regression_net, tmp_path):
    """make(settings): a solver of regression_net; its snapshots are s_iter_* in tmp_path."""

    def build(settings, at_once=False):
        path = tmp_path / "solver.prototxt"
        path.write_text(
            f'net: "{regression_net}" lr_policy: "fixed" snapshot_prefix: "{tmp_path}/s" {settings}'
        )
        solver = caffe.get_solver(str(path))
        solver.net.keep_blobs = not at_once
        return solver

    return build


@pytest.mark.parametrize("at_once", [False, True], ids=["pycaffe", "command line"])
@pytest.mark.parametrize("display", [0, 1])
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (1e30, "infinite")])
def test_a_loss_that_is_not_finite_ends_the_training(make, tmp_path, value, word, display, at_once):
    solver = make(f"base_lr: 0.1 max_iter: 9 snapshot: 2 display: {display}", at_once)
    solver.step(2)
    solver.net.params["ip"][0].data[0, 0] = value  # its square is beyond float32
    with pytest.raises(
        caffe.CaffeError,
        match=f"solver.prototxt: the loss is {word} at iteration 2: resume from .*s_iter_2.sol",
    ):
        solver.solve()
    assert {path.name for path in tmp_path.glob("s_iter*")} == {
        "s_iter_2.caffemodel",
        "s_iter_2.solverstate",
    }


def test_a_training_that_really_diverges(make, tmp_path):
    """Four weights of input 1 feed each output, so a rate of 1000 multiplies the error by 1 - 4 *
    1000 at every step.
    """
    with pytest.raises(
        caffe.CaffeError,
        match=r"the loss is (NaN|infinite) at iteration \d+: start again with a lower base_lr",
    ):
        make("base_lr: 1000 max_iter: 40").solve()
    assert not list(tmp_path.glob("s_iter*"))


@pytest.mark.parametrize("where", ["weight", "history"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_not_snapshotted(make, tmp_path, where, value):
    solver = make("base_lr: 0 max_iter: 9 momentum: 0.9")
    solver.step(1)
    if where == "weight":
        solver.net.params["ip"][1].data[1] = value
        message = "layer 'ip', blob 1 holds NaN or infinite values at iteration 1"
    else:
        solver.updater.history[0][0, 0] = value
        message = "the history of the updates holds NaN or infinite values at iteration 1"
    with pytest.raises(caffe.CaffeError, match=message):
        solver.snapshot()
    assert not list(tmp_path.glob("s_iter*"))


def test_large_but_finite_weights_are_snapshotted(make):
    solver = make("base_lr: 0 max_iter: 9")
    solver.net.params["ip"][0].data[...] = 3e38  # their sum is infinite
    solver.snapshot()
