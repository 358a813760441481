"""What killed processes have left behind is removed; what a running process writes is not."""

import os
import subprocess
import sys

import pytest

import caffe
from caffe import leftovers
from caffe.database import Writer
from caffe.proto import caffe_pb2
from caffe.whole_file import renamed_when_whole


@pytest.fixture(scope="module")
def dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_files_of_dead_processes_are_removed(tmp_path, dead):
    gone = [f"x.tmp{dead}", f"x_iter_5.caffemodel.tmp{dead}"]
    kept = [
        f"x.tmp{os.getpid()}",
        "x.tmp1",
        "x.tmp",
        "x.tmpabc",
        "x.tmp99999999999999999999",
        f"y.tmp{dead}",
        "x",
    ]
    for name in gone + kept:
        (tmp_path / name).write_text("half")
    leftovers.remove(tmp_path / "x")
    leftovers.remove(f"{tmp_path}/x_iter_", "*")
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


def test_names_with_brackets(tmp_path, dead):
    (tmp_path / f"a[1]*.tmp{dead}").write_text("half")
    leftovers.remove(tmp_path / "a[1]*")
    assert not list(tmp_path.iterdir())


def test_writers_clean_up(tmp_path, dead):
    (tmp_path / f"db.tmp{dead}").mkdir()
    (tmp_path / f"db.tmp{dead}" / "data.mdb").write_bytes(b"half")
    with Writer(tmp_path / "db") as writer:
        writer.put("0", caffe_pb2.Datum(data=b"x"))
    (tmp_path / f"table.tmp{dead}").write_text("half")
    with renamed_when_whole(str(tmp_path / "table")) as temporary:
        open(temporary, "w").close()
    assert {path.name for path in tmp_path.iterdir()} == {"db", "table"}


def test_a_training_cleans_up_after_a_killed_one(tmp_path, dead):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param {'
        " shape { dim: 2 dim: 3 } } }"
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 1 } }"
        'layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }'
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1'
        f' snapshot_prefix: "{tmp_path}/s"'
    )
    for name in (f"s_iter_7.caffemodel.tmp{dead}", f"s_iter_7.solverstate.tmp{dead}"):
        (tmp_path / name).write_bytes(b"half")
    caffe.get_solver(str(tmp_path / "solver.prototxt")).solve()
    assert {path.name for path in tmp_path.glob("s_iter*")} == {
        "s_iter_1.caffemodel",
        "s_iter_1.solverstate",
    }
