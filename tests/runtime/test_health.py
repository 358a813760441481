"""Trainings that go wrong: values that are not finite end them, collapsed outputs get a warning."""

import numpy as np
import pytest

import caffe
from caffe import cli, health, weights_file


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
    """An output sums 3 weights and a bias: a rate of 1000 multiplies its error by 1 - 4 * 1000."""
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
    model, _ = solver.snapshot()
    assert np.float32(3e38) in weights_file.read_caffemodel(model)["ip"][0].array()


@pytest.mark.parametrize(
    ("flags", "warnings"),
    [([], 2), (["-collapsed_outputs=0"], 0), (["-collapsed_outputs", "1e-9"], 2)],
)
def test_collapsed_outputs_are_warned_of_unless_the_flag_is_zero(
    make, tmp_path, capfd, monkeypatch, flags, warnings
):
    """All images are equal.  Iterations 0, 2 and 4 are displayed; 0, the start, is exempt."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    make("base_lr: 0.01 max_iter: 5 display: 2 snapshot_after_train: false")
    capfd.readouterr()
    assert cli.main(["train", "-solver", str(tmp_path / "solver.prototxt"), *flags]) == 0
    assert capfd.readouterr().err.count("has collapsed, or has not begun to learn") == warnings


@pytest.mark.parametrize(("threshold", "warned"), [(1, False), (1.01, True)])
def test_outputs_have_collapsed_below_the_threshold(
    net_from, capfd, monkeypatch, threshold, warned
):
    """Images with the outputs 0 and 2 have the variance 1."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    net = net_from(
        'layer { name: "x" type: "Input" top: "x" top: "t" input_param {'
        " shape { dim: 2 dim: 3 } } }"
        'layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "t" top: "loss" }'
    )
    net.blobs["x"].data[1] = 2
    net.forward()
    capfd.readouterr()
    health.warn_of_collapse(net, threshold)
    assert ("Outputs into layer loss hardly differ" in capfd.readouterr().err) is warned


@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
def test_a_threshold_that_is_not_a_variance_is_refused(fatal, value):
    line = fatal(cli.main, "train", "-solver", "s", f"-collapsed_outputs={value}")
    assert f"takes a variance, or 0 for no warning, not {value}" in line
