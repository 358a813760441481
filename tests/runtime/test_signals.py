"""Requests to stop or to snapshot: what signals ask for, and when a training looks for them."""

import os
import re
import signal

import pytest

import caffe
from caffe.signals import Signals


@pytest.fixture
def make(regression_net, tmp_path, monkeypatch):
    """make(settings, requests): a solver that finds these requests, one each time that it looks."""
    monkeypatch.setenv("GLOG_minloglevel", "0")

    def build(settings, requests):
        path = tmp_path / "solver.prototxt"
        prefix = "" if "snapshot_prefix" in settings else f'snapshot_prefix: "{tmp_path}/s"'
        path.write_text(
            f'net: "{regression_net}" base_lr: 0.1 lr_policy: "fixed" max_iter: 6 {prefix}'
            f" {settings}"
        )
        solver = caffe.get_solver(str(path))
        waiting = list(requests)
        solver.request = lambda: waiting.pop(0) if waiting else "none"
        return solver

    return build


@pytest.mark.parametrize(
    ("number", "effects", "expected"),
    [
        (signal.SIGINT, ("stop", "snapshot"), "stop"),
        (signal.SIGINT, ("none", "stop"), "none"),
        (signal.SIGHUP, ("stop", "snapshot"), "snapshot"),
        (signal.SIGTERM, ("none", "none"), "stop"),
    ],
)
def test_effects(number, effects, expected):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)}
    with Signals(*effects) as signals:
        assert signals() == "none"
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert [signals(), signals()] == [expected, "none"]  # twice is once, as in Caffe
    assert {n: signal.getsignal(n) for n in before} == before


def test_hangup_comes_first():
    with Signals("stop", "snapshot") as signals:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        assert [signals(), signals(), signals()] == ["snapshot", "stop", "none"]


def names(folder):
    return sorted(path.name for path in folder.glob("s_iter*.solverstate"))


def test_stop_after_an_iteration(make, tmp_path, capfd):
    make("", ["none", "none", "stop"]).solve()
    assert names(tmp_path) == ["s_iter_3.solverstate"]
    log = capfd.readouterr().err
    assert "Optimization stopped early." in log
    assert "Optimization Done." not in log


@pytest.mark.parametrize(("first_asked", "iteration"), [(1, 0), (8, 2)])
def test_stop_in_a_test_pass(make, tmp_path, capfd, first_asked, iteration):
    """Two tests of two batches run every 2 iterations.

    The solver looks for requests before each batch and after each iteration, 4 + 2 times per round.
    """
    solver = make("test_iter: 2 test_iter: 2 test_interval: 2", ["none"] * first_asked + ["stop"])
    batches = []
    run = solver.test_nets[0].forward_backward
    solver.test_nets[0].forward_backward = lambda backward: (
        batches.append(solver.iter) or run(backward=backward)
    )
    solver.solve()
    assert names(tmp_path) == [f"s_iter_{iteration}.solverstate"]
    log = capfd.readouterr().err
    assert log.count("Test interrupted.") == 1
    assert "Optimization stopped early." in log
    assert batches.count(iteration) == {1: 1, 8: 2}[first_asked]
    assert (f"Iteration {iteration}, Testing net (#1)" in log) == (first_asked == 8)


def test_snapshot_in_a_test_pass(make, tmp_path, capfd):
    make("test_iter: 3 test_interval: 4", ["none", "snapshot", "none"]).solve()
    assert names(tmp_path) == ["s_iter_0.solverstate", "s_iter_6.solverstate"]
    log = capfd.readouterr().err
    assert "Test interrupted." not in log
    assert len(re.findall(r"Test net output #0: loss = ", log)) == 2  # at 0 and 4


def test_step_does_not_need_the_folder_of_the_last_snapshot(make, tmp_path):
    solver = make(f'snapshot_prefix: "{tmp_path}/none/s"', [])
    solver.step(2)
    assert solver.iter == 2
    with pytest.raises(
        caffe.CaffeError, match=r"solver.prototxt: cannot write snapshots to .*/none/ .*mkdir -p"
    ):
        solver.solve()
    assert solver.iter == 2
    make(f'snapshot_prefix: "{tmp_path}/none/s" snapshot_after_train: false', []).solve()
    with pytest.raises(caffe.CaffeError, match="mkdir -p"):
        make(f'snapshot_prefix: "{tmp_path}/none/s" snapshot: 9', [])


def test_a_prefix_that_is_a_folder_gets_the_solvers_name(make, tmp_path):
    (tmp_path / "snaps").mkdir()
    assert (
        make(f'snapshot_prefix: "{tmp_path}/snaps"', []).param.snapshot_prefix
        == f"{tmp_path}/snaps/solver"
    )
