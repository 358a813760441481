"""What the benchmarks share: the order of the sides, ratios by hand, and records."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from texttopicnet import artefacts
from texttopicnet.errors import UserError


@pytest.fixture(scope="module")
def measuring(load_script):
    return load_script("benchmarks/measuring.py")


def test_sides_run_in_turn_and_every_second_round_backwards(measuring, capsys):
    calls, clock = [], itertools.count(1)

    def tick(side):
        side()
        return float(next(clock))

    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = measuring.in_turn(sides, 3, warm_up=1, clock=tick, what="5 items")
    assert calls == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert seconds == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}
    assert capsys.readouterr().out.splitlines()[:2] == [
        "5 items, round 1: a 3 s",
        "5 items, round 1: b 4 s",
    ]


def test_a_comparison_by_hand(measuring):
    seconds = {"ours": [1.0, 2.0, 4.0], "plain": [3.0, 4.0, 20.0], "third": [1.0, 1.0, 1.0]}
    row = measuring.comparison("work", seconds, "ours", "plain", "ms per item", 1000 / 50, size=50)
    assert row["ratio"] == {"least": 2.0, "median": 3.0, "most": 5.0}
    assert row["times"]["ours"] == [20.0, 40.0, 80.0]
    assert row["times"]["third"] == [20.0] * 3
    assert measuring.described(row) == (
        "work: ours 40 ms per item, plain 80 ms per item, ratio 3.00 (2.00 to 5.00)"
    )


def test_settings_of_the_command_line(measuring):
    full, quick = {"sizes": [10, 20], "rounds": 3, "other": 1}, {"sizes": [1], "rounds": 2}

    def settings(*arguments):
        args = measuring.parser("A benchmark.", "things").parse_args(list(arguments))
        return measuring.settings(args, full, quick)

    assert settings() == full | {"quick": False}
    assert settings("--quick") == quick | {"quick": True}
    assert settings("--sizes", "5", "7", "--rounds", "1") == {
        "sizes": [5, 7],
        "rounds": 1,
        "other": 1,
        "quick": False,
    }
    with pytest.raises(UserError, match="--rounds 0: must be 1 or more"):
        settings("--rounds", "0")


def test_the_machine_is_watched(measuring, monkeypatch):
    monkeypatch.delattr("datetime.UTC", raising=False)  # Python 3.10 has none
    with measuring.watched() as seen:
        time.sleep(0.05)
    assert seen["seconds"] >= 0  # rounded to tenths
    assert seen["hardware"]["cores"] >= 1
    assert {"python", "torch", "numba", "lmdb"} <= seen["versions"].keys()
    assert len(seen["load"]) == 2
    assert seen["other_work"] >= 0
    assert seen["started"].endswith("+00:00")


def test_own_work_is_not_other_work(measuring):
    """A child that has ended counts as own."""
    before = measuring._own_seconds()
    code = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert measuring._own_seconds() - before >= 0.3
    assert (
        0
        < measuring._busy_seconds()
        <= 1.1 * time.clock_gettime(time.CLOCK_BOOTTIME) * os.cpu_count()
    )


def test_a_record_is_kept_whole(measuring, tmp_path):
    with measuring.watched() as seen:
        pass
    row = measuring.comparison("work", {"a": [1.0], "b": [2.0]}, "a", "b")
    found = measuring.record("part", {"rounds": 1}, [row], seen, {"peak": 2.5}, "a note")
    assert tuple(found) == measuring.FIELDS
    measuring.save(tmp_path / "new" / "part.json", found)
    assert measuring.load(tmp_path / "new" / "part.json") == found


def test_what_is_not_a_record_is_one_sentence(measuring, tmp_path):
    path = tmp_path / "part.json"
    path.write_text('{"benchmark": "part"}')
    with pytest.raises(UserError, match=r"not the record of a benchmark: it lacks settings, .*run"):
        measuring.load(path)


def test_every_record_of_the_project_can_be_read(measuring, load_script):
    folder = artefacts.ROOT / "benchmarks" / "results"
    paths = [folder / f"{part}.json" for part in load_script("benchmarks/run.py").PARTS]
    for path in filter(Path.exists, paths):
        if path.stem != "scale_text":  # a table of sizes
            assert measuring.load(path)["benchmark"] == path.stem
