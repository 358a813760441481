"""record_training.py: losses and seconds from a log in Caffe's grammar."""

import json
import sys
from pathlib import Path

import pytest

from texttopicnet.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
LOG = """net
I1231 23:59:50.000000    7 caffe.cpp:239] Starting Optimization
layer {
I1231 23:59:55.000000    7 solver.cpp:239] Iteration 0 (0 iter/s, 1s/20 iters), loss = 8.5
I0101 00:00:05.500000    7 solver.cpp:239] Iteration 20 (2 iter/s, 10s/20 iters), loss = 4
I0101 02:00:00.000000    8 data_layer.cpp:73] Restarting data prefetching from start.
I0101 03:00:00.000000    8 data_layer.cpp:73] Restarting data prefetching from start.
I0101 10:00:00.000000    9 solver.cpp:239] Iteration 20 (0 iter/s, 1s/20 iters), loss = 3.5
I0101 10:00:10.000000    9 solver.cpp:239] Iteration 40 (2 iter/s, 10s/20 iters), loss = 2e-2
I0101 10:00:10.000000    9 solver.cpp:327] Iteration 50, loss = 1e-2
"""


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("experiments/record_training.py")


def test_two_parts_of_a_run_over_new_year(script, tmp_path):
    (tmp_path / "t.log").write_text(LOG)
    losses, seconds = script.read_log(tmp_path / "t.log")
    assert losses == {0: 8.5, 20: 3.5, 40: 0.02, 50: 0.01}
    assert seconds == pytest.approx(15.5 + 10)


def test_no_log(script, tmp_path):
    (tmp_path / "t.log").write_text("nothing\n")
    with pytest.raises(UserError, match=r"t.log holds no line"):
        script.read_log(tmp_path / "t.log")


def test_record(script, tmp_path, monkeypatch):
    folder = tmp_path / "CNN" / "CaffeNet"
    folder.mkdir(parents=True)
    (folder / "trained.log").write_text(LOG)
    (folder / "trained.caffemodel").write_bytes(b"weights")
    (folder / "train_val.prototxt").write_text("")
    monkeypatch.setattr(sys, "argv", ["record_training.py", "--work", str(tmp_path), "--seed", "5"])
    assert script.main() == 0
    found = json.loads((tmp_path / "experiments" / "results" / "training.json").read_text())
    assert found["values"] == {"last_loss": 0.01, "iterations": 50}
    assert found["seed"] == 5
    assert found["seconds"] == 25.5
