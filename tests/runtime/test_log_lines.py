"""The command line's log, line by line, against BVLC Caffe's: the same text and numbers.

Numbers are compared where nothing is random.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest

PREFIX = re.compile(r"^[IWEF]\d+ [\d:.]+ +\d+ ([\w.]+):\d+\] ")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")


@pytest.fixture
def folder(tmp_path, golden):
    """A copy of the recorded folder of logs, beside the recorded data."""
    shutil.copytree(golden / "logs", tmp_path / "logs", copy_function=shutil.copyfile)
    for path in (tmp_path / "logs", *(tmp_path / "logs").rglob("*")):
        path.chmod(0o755)
    (tmp_path / "data").symlink_to(golden / "data")
    return tmp_path / "logs"


def lines(text):
    """Source file and text of each line, but for those that no Caffe logs at the same place.

    When data threads restart depends on timing; how long a net waits for data, how much its outputs
    vary, and with which precision it computes, is logged only here.
    """
    rows = [PREFIX.sub(r"\1| ", row) for row in text.splitlines()]
    own = (
        "Restarting data prefetching",
        "    Waited for data: ",
        "    Output variance into ",
        "Average wait for data: ",
        "Precision: fp32; cache: none",
    )
    return [row for row in rows if not any(words in row for words in own)]


def run(folder, name):
    command = (folder / f"{name}.cmd").read_text().splitlines()[0].split()[1:]
    environment = os.environ | {"GLOG_minloglevel": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "caffe.cli", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0
    assert done.stdout == ""
    return lines(done.stderr), lines((folder / f"{name}.stderr").read_text())


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "train_avgloss",
        "train_finetune",
        "train_resume",
        "train_debug_clip",
        "time",
        "test",
    ],
)
def test_same_lines(folder, name):
    found, wanted = run(folder, name)
    assert [NUMBER.sub("#", row) for row in found] == [NUMBER.sub("#", row) for row in wanted]
    if name == "test":
        for mine, theirs in zip(found, wanted, strict=True):
            a, b = ([float(m.group()) for m in NUMBER.finditer(row)] for row in (mine, theirs))
            assert a == pytest.approx(b, rel=2e-5), theirs
