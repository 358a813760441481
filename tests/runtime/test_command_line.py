"""What the commands share: flags as gflags reads them, exit statuses, the commands that pyproject.toml names."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import caffe
from caffe import command_line

FLAGS = {"fast": {"action": "store_true"}, "size": {"type": int, "default": 1}}


@pytest.mark.parametrize(
    "arguments, fast, size, rest",
    [
        ([], False, 1, []),
        (["-fast", "a"], True, 1, ["a"]),
        (["a", "--fast", "b"], True, 1, ["a", "b"]),
        (["--fast=true", "-size", "3"], True, 3, []),
        (["--fast", "-fast=0", "--size=3"], False, 3, []),
        (["-fast", "-nofast"], False, 1, []),
    ],
)
def test_flags(arguments, fast, size, rest):
    found = command_line.flags(arguments, FLAGS, "x.cpp:1", "[A] [B]")
    assert (found.fast, found.size, found.rest) == (fast, size, rest)


@pytest.mark.parametrize("arguments", [["-siz", "3"], ["-size", "x"], ["-size"], ["-fast=perhaps"], ["-slow"], ["a", "b", "c"]])
def test_refused(arguments):
    with pytest.raises(command_line.Fatal, match="^command line: ") as caught:
        command_line.flags(arguments, FLAGS, "x.cpp:1", "A [B]")
    assert caught.value.position == "x.cpp:1"


def test_statuses(capsys):
    def fail(arguments):
        raise caffe.CaffeError("two\nlines")

    def interrupt(arguments):
        raise KeyboardInterrupt

    assert command_line.run(list, "x.cpp:1", ["a"]) == 0
    assert command_line.run(fail, "x.cpp:1", ["a"]) == 1
    assert re.search(r"^F\d{4} .* x\.cpp:1\] two lines\n$", capsys.readouterr().err)
    assert command_line.run(interrupt, "x.cpp:1", ["a"]) == 130


def test_the_commands_of_pyproject():
    """Each is a tool's main, and each tool is there and runs as a module too."""
    text = (Path(caffe.__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    commands = dict(re.findall(r'^(\w+) = "(caffe[\w.]*):main"$', text, re.M))
    tools = {path.stem for path in (Path(caffe.__file__).parent / "tools").glob("*.py")} - {"__init__"}
    assert commands == {"caffe": "caffe.cli"} | {name: f"caffe.tools.{name}" for name in tools}
    for module in commands.values():
        assert callable(importlib.import_module(module).main)


def test_run_as_a_module():
    line = [sys.executable, "-m", "caffe.tools.parse_log", "none.log", "."]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 1 and "none.log" in done.stderr and "Traceback" not in done.stderr
