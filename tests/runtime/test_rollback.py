"""A training that diverges goes back to its last good snapshot, with a lower learning rate."""

import re

import numpy as np
import pytest

import caffe
from caffe import cli, mode, progress, snapshot
from caffe.proto import caffe_pb2
from caffe.rollback import Rollback

RECORDS = """
layer { name: "x" type: "Data" top: "x"
  data_param { source: "%(folder)s/db" backend: LMDB batch_size: 3 } }
layer { name: "drop" type: "Dropout" bottom: "x" top: "d" }
layer { name: "t" type: "DummyData" top: "t" dummy_data_param {
  shape { dim: 3 dim: 2 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


@pytest.fixture
def diverging(regression_net, tmp_path):
    """The file of a solver whose error grows by 1 - 4 * 3 in each update.

    Its square is beyond float32 at iteration 18 or so.  With a tenth of the rate, the error shrinks
    by 1 - 4 * 0.3.
    """
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net: "{regression_net}" base_lr: 3 lr_policy: "fixed" max_iter: 60 snapshot: 5'
        f' display: 1 snapshot_prefix: "{tmp_path}/s" random_seed: 1'
    )
    return path


@pytest.fixture
def records(tmp_path, float_lmdb):
    """records(bad): the file of a solver of 12 updates, of 7 random records or, with `bad`, of 60,
    of which number 16, for iteration 5, is NaN.
    """

    def build(bad=False):
        rows = np.random.default_rng(0).standard_normal((60 if bad else 7, 4))
        rows[16:17] = np.nan
        float_lmdb(rows)
        (tmp_path / "net.prototxt").write_text(RECORDS % {"folder": tmp_path})
        path = tmp_path / "solver.prototxt"
        path.write_text(
            f'net: "{tmp_path}/net.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.5'
            f' max_iter: 12 snapshot: 2 random_seed: 3 snapshot_prefix: "{tmp_path}/s"'
        )
        return path

    return build


def make(path, rollback=None, at_once=False):
    solver = caffe.get_solver(str(path))
    solver.net.keep_blobs = not at_once
    solver.rollback = rollback
    return solver


def spoil(solver, iteration, times=1):
    """Make a weight NaN before this iteration, the first `times` times."""
    left = [times]

    def on_start():
        if solver.iter == iteration and left[0]:
            left[0] -= 1
            solver.net.params["ip"][0].data[0, 0] = np.nan

    solver.add_callback(on_start)


def back_to(text):
    return [int(i) for i in re.findall(r"Rollback \d of at most \d: back to iteration (\d+)", text)]


@pytest.mark.parametrize("at_once", [False, True], ids=["pycaffe", "command line"])
def test_a_rate_that_is_too_high_is_lowered(diverging, capfd, at_once):
    solver = make(diverging, Rollback(), at_once)
    solver.solve()
    assert solver.iter == 60
    assert solver.lr == pytest.approx(0.3)
    np.testing.assert_allclose(solver.net.forward()["loss"], 0, atol=1e-6)
    text = capfd.readouterr().err
    assert back_to(text) == [15]
    assert re.search(r"W.*solver.prototxt: the loss is (NaN|infinite) at iteration 1[89]\n", text)
    assert "s_iter_15.solverstate), with 0.1 times the solver's learning rate" in text


def test_the_command_goes_back_when_asked(diverging, capfd):
    assert cli.main(["train", "-solver", str(diverging), "-on_nan", "rollback"]) == 0
    assert back_to(capfd.readouterr().err) == [15]


@pytest.mark.parametrize("flags", [[], ["-on_nan=stop"]])
def test_the_command_stops_by_default(diverging, fatal, flags):
    assert "resume from" in fatal(cli.main, "train", "-solver", diverging, *flags)


def test_after_a_rollback_the_training_is_the_resumed_one_with_a_lower_rate(records, tmp_path):
    """Bit for bit: the same records, dropped inputs and drawn targets."""
    solver = make(records(), Rollback(factor=0.5))
    spoil(solver, 7)
    solver.step(12)
    other = make(tmp_path / "solver.prototxt")
    other.param.base_lr = 0.025
    other.restore(str(tmp_path / "s_iter_6.solverstate"))
    other.step(6)
    for net in (solver.net, other.net):
        net.close()
    for mine, theirs in zip(solver.net.params["ip"], other.net.params["ip"], strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_resumed_training_keeps_the_lower_rate(records, tmp_path, form):
    path = records()
    path.write_text(f"{path.read_text()} snapshot_format: {form}")
    solver = make(path, Rollback())
    spoil(solver, 5)
    solver.step(8)
    solver.close()
    end = ".h5" if form == "HDF5" else ""
    for state, restart, rate in ((8, False, 0.005), (4, False, 0.05), (8, True, 0.05)):
        other = make(path)
        other.restore(f"{tmp_path}/s_iter_{state}.solverstate{end}", restart)
        assert other.lr == pytest.approx(rate)


def test_a_snapshot_that_leads_to_nan_again_is_passed_over(records, capfd):
    """Back to 6; to 4, as 6 failed; past 6, and from the new 6 again; then it works."""
    solver = make(records(), Rollback(factor=0.5))
    spoil(solver, 7, times=3)
    solver.step(12)
    solver.close()
    assert solver.iter == 12
    assert back_to(capfd.readouterr().err) == [6, 4, 6]
    assert solver.lr == pytest.approx(0.05 / 8)


def test_a_record_that_is_nan_ends_the_training_in_the_end(records, capfd):
    """The same records come again, so no rate helps; the error says where to look."""
    solver = make(records(bad=True), Rollback())
    with pytest.raises(
        caffe.CaffeError,
        match=r"the loss is NaN at iteration 5: resume from .*s_iter_4.*; the training was rolled"
        r" back 3 times \(it diverged at iterations 5, 5, 5, 5: look at the records of that"
        r" iteration rather than at the rate\)",
    ):
        solver.step(12)
    solver.close()
    assert back_to(capfd.readouterr().err) == [4, 2, 4]


def test_without_a_snapshot_there_is_nothing_to_go_back_to(records, tmp_path):
    """Snapshots of another training are not taken."""
    path = records()
    make(path).snapshot()
    solver = make(path, Rollback())
    spoil(solver, 1)
    with pytest.raises(caffe.CaffeError, match="this training has no snapshot to go back to: set"):
        solver.step(12)
    solver.close()


@pytest.mark.parametrize("keep", [1, 2])
def test_removed_and_damaged_snapshots_are_passed_over(records, tmp_path, capfd, keep):
    solver = make(records(), Rollback())
    solver.keep = keep
    spoil(solver, 7, times=2)
    solver.step(6)
    if keep == 2:
        (tmp_path / "s_iter_4.solverstate").write_bytes(b"damaged")
    solver.step(6)
    solver.close()
    assert back_to(capfd.readouterr().err) == [6, 6]


@pytest.mark.parametrize("iteration", [8, 9])
def test_weights_that_turn_nan_in_the_last_update_are_found(records, capfd, iteration):
    """At a snapshot (8), and at the end of the run (9), which writes none."""
    solver = make(records(), Rollback())
    gone = []

    def spoil_once():
        if solver.iter == iteration - 1 and not gone:
            gone.append(solver.net.params["ip"][1])
            solver.net.params["ip"][1].diff[...] = np.inf

    solver.add_callback(lambda: None, spoil_once)
    solver.step(iteration)
    solver.close()
    assert solver.iter == iteration
    assert np.isfinite(solver.net.params["ip"][1].data).all()
    assert back_to(capfd.readouterr().err) == [6 if iteration == 8 else 8]


def test_a_request_to_stop_survives_a_rollback(records):
    solver = make(records(), Rollback())
    gone = []

    def spoil_once():
        if solver.iter == 3 and not gone:
            gone.append(1)
            solver.net.params["ip"][1].diff[...] = np.inf

    solver.add_callback(lambda: None, spoil_once)
    solver.request = lambda: "stop" if gone else "none"
    solver.step(12)
    solver.close()
    assert (solver.iter, solver.stopped_early) == (2, True)


def test_watchers_are_told_that_later_points_are_void(records):
    class Begun(progress.Watcher):
        def __init__(self):
            self.at = []

        def begin(self, iteration):
            self.at.append(iteration)

    solver, seen = make(records(), Rollback()), Begun()
    solver.training_log.watchers.append(seen)
    spoil(solver, 7)
    solver.step(12)
    solver.close()
    assert seen.at == [0, 6]


def test_the_state_of_a_training_without_rollbacks_is_what_it_was(records, tmp_path):
    """Nothing is written for a scale of 1."""
    solver = make(records())
    solver.step(2)
    solver.close()
    point = caffe_pb2.ResumePoint.FromString(
        snapshot.read_solverstate(tmp_path / "s_iter_2.solverstate").resume_point
    )
    assert not point.HasField("rate_scale")


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, 2])
def test_a_damaged_scale_is_refused(records, tmp_path, scale):
    solver = make(records())
    solver.step(2)
    solver.updater.scale = scale
    _, state = solver.snapshot()
    solver.close()
    with pytest.raises(caffe.CaffeError, match="its data positions and random streams are damaged"):
        make(tmp_path / "solver.prototxt").restore(state)


@pytest.mark.parametrize("factor", [0, 1, -0.5, np.nan])
def test_a_factor_that_does_not_lower_is_refused(factor):
    with pytest.raises(caffe.CaffeError, match="factor must be above 0 and below 1, not"):
        Rollback(factor)


def test_several_solvers_are_refused(monkeypatch):
    monkeypatch.setitem(mode._state, "solver_count", 2)
    with pytest.raises(caffe.CaffeError, match="only in one process; one of these 2 solvers"):
        Rollback()


def test_the_command_refuses_what_cannot_work(records, fatal):
    path = records()
    path.write_text(path.read_text().replace("snapshot: 2", ""))
    line = fatal(cli.main, "train", "-solver", path, "-on_nan", "rollback")
    assert "-on_nan rollback goes back to a snapshot: set snapshot in the solver" in line
    assert "-on_nan takes stop, rollback, not 'x'" in fatal(cli.main, "train", "-on_nan", "x")
