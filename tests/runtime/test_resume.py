"""Resuming from the newest snapshot, by iteration number, that is whole and of this net."""

import os

import numpy as np
import pytest

import caffe
import caffe.cli
from caffe import resume

NET = """layer {{ name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {{
  shape {{ dim: 2 dim: 3 }}
  shape {{ dim: 2 dim: {0} }} data_filler {{ type: "constant" value: 1 }}
    data_filler {{ type: "constant" value: 0.25 }} }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {{ num_output: {0}
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }}
"""


def make(folder, settings="", outputs=2, max_iter=20):
    (folder / "net.prototxt").write_text(NET.format(outputs))
    path = folder / "solver.prototxt"
    path.write_text(
        f'net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 random_seed: 1'
        f" max_iter: {max_iter}"
        f' snapshot_prefix: "{folder}/s" {settings}'
    )
    return caffe.get_solver(str(path))


@pytest.fixture(params=["", "snapshot_format: HDF5"], ids=["binary", "HDF5"])
def trained(tmp_path, request):
    """Snapshots after 2, 9 and 10 iterations; (folder, settings, the end of their names)."""
    solver = make(tmp_path, f"snapshot: 9 {request.param}")
    solver.step(2)
    solver.snapshot()
    solver.step(8)
    solver.snapshot()
    return tmp_path, request.param, ".h5" if request.param else ""


def test_the_highest_iteration_is_the_newest(trained):
    folder, settings, end = trained
    os.utime(folder / f"s_iter_2.solverstate{end}", (2e9, 2e9))
    assert [number for number, _ in resume.states(f"{folder}/s")] == [10, 9, 2]
    assert resume.newest(f"{folder}/s") == f"{folder}/s_iter_10.solverstate{end}"
    solver = make(folder, settings)
    assert solver.restore_newest() == f"{folder}/s_iter_10.solverstate{end}"
    assert solver.iter == 10
    whole = make(folder, settings)
    whole.step(12)
    solver.step(2)
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, whole.net.params["ip"][0].data)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "half a state": lambda folder, end: cut(folder / f"s_iter_10.solverstate{end}"),
    "an empty state": lambda folder, end: (folder / f"s_iter_10.solverstate{end}").write_bytes(b""),
    "half the weights": lambda folder, end: cut(folder / f"s_iter_10.caffemodel{end}"),
    "no weights": lambda folder, end: (folder / f"s_iter_10.caffemodel{end}").unlink(),
    "a folder": lambda folder, end: (folder / f"s_iter_11.solverstate{end}").mkdir(),
    "a FIFO": lambda folder, end: os.mkfifo(folder / f"s_iter_11.solverstate{end}"),
    "another number": lambda folder, end: (folder / f"s_iter_9.solverstate{end}").rename(
        folder / f"s_iter_30.solverstate{end}"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_snapshots_are_skipped_with_a_warning(trained, damage, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    folder, settings, end = trained
    DAMAGES[damage](folder, end)
    solver = make(folder, settings, max_iter=40)
    capfd.readouterr()
    state = solver.restore_newest()
    intact = 10 if damage in ("a folder", "a FIFO", "another number") else 9
    assert state == f"{folder}/s_iter_{intact}.solverstate{end}"
    assert solver.iter == intact
    rows = capfd.readouterr().err.splitlines()
    (warning,) = [row for row in rows if row.startswith("W")]
    assert " is skipped: " in warning


def test_snapshots_that_are_not_finite_are_skipped(trained):
    folder, settings, end = trained
    solver = make(folder, settings)
    solver.restore_newest()
    solver.net.params["ip"][0].data[0, 0] = np.nan
    name = f"{folder}/s_iter_10.caffemodel{end}"
    solver.net.save_hdf5(name) if end else solver.net.save(name)
    assert make(folder, settings).restore_newest() == f"{folder}/s_iter_9.solverstate{end}"


def test_snapshots_of_another_net_are_skipped_and_change_nothing(trained):
    folder, settings, _end = trained
    other = make(folder, settings, outputs=5)
    before = other.net.params["ip"][0].data.copy()
    assert other.restore_newest() is None
    assert other.iter == 0
    np.testing.assert_array_equal(other.net.params["ip"][0].data, before)


def test_snapshots_beyond_max_iter_are_skipped(trained):
    folder, settings, end = trained
    assert (
        make(folder, settings, max_iter=9).restore_newest() == f"{folder}/s_iter_9.solverstate{end}"
    )
    assert (
        make(folder, settings, max_iter=5).restore_newest() == f"{folder}/s_iter_2.solverstate{end}"
    )


def test_other_prefixes_do_not_count(trained):
    folder, _, end = trained
    for name in (
        "s_more_iter_99.solverstate",
        "s_iter_99.solverstate.tmp1",
        "s_iter_x.solverstate",
        "s_iter_99.caffemodel",
    ):
        (folder / name).write_bytes(b"")
    assert resume.newest(f"{folder}/s") == f"{folder}/s_iter_10.solverstate{end}"
    assert resume.newest(f"{folder}/none") is None


def test_a_state_and_its_weights_moved_together(trained, tmp_path):
    folder, _settings, end = trained
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in folder.glob("s_iter_10*"):
        path.rename(moved / path.name)
    assert resume.newest(f"{moved}/s") == f"{moved}/s_iter_10.solverstate{end}"


def test_the_command_line_resumes(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    make(tmp_path, "snapshot: 5", max_iter=10).solve()
    make(tmp_path, "snapshot: 5", max_iter=12)
    cut(tmp_path / "s_iter_10.solverstate")
    arguments = ["train", "-solver", str(tmp_path / "solver.prototxt"), "-resume"]
    capfd.readouterr()
    assert caffe.cli.main(arguments) == 0
    log = capfd.readouterr().err
    assert f"Resuming from {tmp_path}/s_iter_5.solverstate" in log
    assert (tmp_path / "s_iter_12.caffemodel").is_file()
    assert caffe.cli.main([*arguments, "-snapshot", "x"]) == 1
    assert "-resume finds" in capfd.readouterr().err
    for path in tmp_path.glob("s_iter*"):
        path.unlink()
    assert caffe.cli.main(arguments) == 0
    assert "starting at iteration 0" in capfd.readouterr().err
