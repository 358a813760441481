"""parse_log: the tables that Caffe's script makes, other prefixes, a new year, the picture."""

import cv2
import numpy as np
import pytest

from caffe.tools.parse_log import main, parse_log

LOG = """I{0} 23:59:59.000000 1 solver.cpp:45] Initializing solver from parameters:
base_lr: 0.5
I{0} 23:59:59.500000 1 solver.cpp:289] Solving net
I{0} 23:59:59.750000 1 solver.cpp:239] Iteration 0 (0 iter/s, 0s/5 iters), loss = 3
I{0} 23:59:59.750000 1 solver.cpp:258]     Train net output #0: a = 1e-05 (* 1 = 1e-05 loss)
I{0} 23:59:59.750000 1 solver.cpp:258]     Train net output #1: loss = 2
I{0} 23:59:59.750000 1 sgd_solver.cpp:112] Iteration 0, lr = 0.5
I{1} 00:00:01.500000 1 solver.cpp:258]     Iteration 5, Testing net (#0)
I{1} 00:00:01.500000 1 solver.cpp:414]     Test net output #0: accuracy = nan
I{1} 00:00:02.500000 1 solver.cpp:239] Iteration 5 (5 iter/s, 1s/5 iters), loss = 1.5
I{1} 00:00:02.500000 1 solver.cpp:258]     Train net output #0: a = -7
I{1} 00:00:02.500000 1 solver.cpp:258]     Train net output #1: loss = 1
I{1} 00:00:02.500000 1 sgd_solver.cpp:112] Iteration 5, lr = 5e-02
"""


@pytest.fixture
def log(tmp_path):
    """log(first day, last day): the path of LOG with these dates."""

    def write(first="0304", last="0305"):
        path = tmp_path / "x.log"
        path.write_text(LOG.format(first, last))
        return path

    return write


@pytest.mark.parametrize("name", ["train_avgloss.log", "train_classicprefix.log"])
def test_as_recorded(golden, tmp_path, name):
    folder = golden / "logs" / "parsed"
    assert main([str(folder / name), str(tmp_path)]) == 0
    for table in ("train", "test"):
        assert (tmp_path / f"{name}.{table}").read_bytes() == (
            folder / f"{name}.{table}"
        ).read_bytes()


def test_the_prefix_with_a_year(golden, tmp_path):
    """The same run logged by a newer glog: all but the times is equal."""
    new, _, _ = parse_log(golden / "logs" / "train.stderr")
    old, _, _ = parse_log(golden / "logs" / "parsed" / "train_classicprefix.log")
    assert [{**row, "Seconds": 0} for row in new] == [{**row, "Seconds": 0} for row in old]


@pytest.mark.parametrize(
    ("first", "last"),
    [("0304", "0305"), ("1231", "0101"), ("20270304", "20270305"), ("20261231", "20270101")],
)
def test_by_hand_over_midnight_and_new_year(log, first, last):
    train, test, rates = parse_log(log(first, last))
    assert train == [
        {"NumIters": 0, "Seconds": 0.25, "LearningRate": 0.5, "a": 1e-5, "loss": 2},
        {"NumIters": 5, "Seconds": 3, "LearningRate": 0.5, "a": -7, "loss": 1},
    ]
    (row,) = test
    assert row["NumIters"] == 5
    assert row["Seconds"] == 2
    assert row["LearningRate"] == 0.5
    assert row["accuracy"] != row["accuracy"]
    assert rates == [(0, 0.5), (5, 0.05)]


def test_tables_and_what_is_reported(log, tmp_path, capsys):
    path = log()
    assert main(["--verbose", "--delimiter", ";", str(path), str(tmp_path)]) == 0
    assert (tmp_path / "x.log.train").read_bytes() == (
        b"NumIters;Seconds;LearningRate;a;loss\r\n0.0;0.25;0.5;1e-05;2.0\r\n5.0;3.0;0.5;-7.0;1.0\r\n"
    )
    assert (
        tmp_path / "x.log.test"
    ).read_bytes() == b"NumIters;Seconds;LearningRate;accuracy\r\n5.0;2.0;0.5;nan\r\n"
    output = capsys.readouterr().out
    assert output.splitlines() == [
        f"Wrote {tmp_path}/x.log.{kind}" for kind in ("train", "test", "png")
    ]
    assert main([str(path), str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_two_test_nets_in_a_log_cut_short(tmp_path):
    path = tmp_path / "x.log"
    path.write_text(
        "I0304 00:00:01.000000 1 solver.cpp:289] Solving net\n"
        "I0304 00:00:02.000000 1 solver.cpp:347] Iteration 0, Testing net (#0)\n"
        "I0304 00:00:03.000000 1 solver.cpp:414]     Test net output #0: accuracy = 0.25\n"
        "I0304 00:00:03.000000 1 solver.cpp:347] Iteration 0, Testing net (#1)\n"
        "I0304 00:00:04.000000 1 solver.cpp:414]     Test net output #0: accuracy = 0.5\n"
        "I0304 00:00:0"
    )
    train, test, rates = parse_log(path)
    assert not train
    assert not rates
    assert [(row["NumIters"], row["Seconds"], row["accuracy"]) for row in test] == [
        (0, 2, 0.25),
        (0, 3, 0.5),
    ]


def test_a_run_that_never_displayed(tmp_path, capsys):
    (tmp_path / "x.log").write_text("I0304 00:00:00.000000 1 solver.cpp:289] Solving net\n")
    assert main(["--verbose", str(tmp_path / "x.log"), str(tmp_path)]) == 0
    assert f"Not writing {tmp_path}/x.log.train; no lines to parse" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"x.log", "x.log.png"}


def test_the_picture(tmp_path):
    """The blue loss sinks from left to right; below it the rate drops at iteration 3 of 4."""
    path = tmp_path / "x.log"
    rows = ["I0304 00:00:00.000000 1 solver.cpp:289] Solving net"]
    for i in range(5):
        rows.append(f"I0304 00:00:0{i}.000000 1 solver.cpp:239] Iteration {i}, loss = {9 - i}")
        rows.append(
            f"I0304 00:00:0{i}.000000 1 solver.cpp:258] Train net output #0: loss = {9 - i}"
        )
        rows.append(
            f"I0304 00:00:0{i}.000000 1 sgd_solver.cpp:112] Iteration {i}, lr ="
            f" {0.1 if i < 3 else 0.001}"
        )
    path.write_text("\n".join(rows))
    assert main([str(path), str(tmp_path)]) == 0
    image = cv2.imread(str(tmp_path / "x.log.png")).astype(int)
    assert image.shape == (720, 960, 3)
    blue = (image[:480, :, 0] - image[:480, :, 2]) > 100
    tops = [int(blue[:, x].argmax()) for x in (200, 400, 600)]
    assert all(blue[top, x] for top, x in zip(tops, (200, 400, 600), strict=True))
    assert tops[0] + 50 < tops[1] < tops[2] - 50
    across = np.flatnonzero(blue[300:].any(axis=0))[-1], np.flatnonzero(blue.any(axis=0))[0]
    drop = (image[520:640].max(axis=2) < 60).sum(axis=0)[150:900].argmax() + 150
    assert (drop - across[1]) / (across[0] - across[1]) == pytest.approx(3 / 4, abs=0.01)


def test_refused(log, tmp_path, fatal, capsys):
    path = log()
    assert "No such file" in fatal(main, tmp_path / "none.log", tmp_path)
    assert "does the folder exist" in fatal(main, path, tmp_path / "none")
    assert "one character" in fatal(main, "--delimiter=ab", path, tmp_path)
    assert "LOGFILE_PATH OUTPUT_DIR" in fatal(main, path)
    path.write_text("hello\n")
    assert "is not the log of a training by Caffe" in fatal(main, path, tmp_path)
    assert main(["--help"]) == 0
    assert "usage: caffe parse_log" in capsys.readouterr().out
