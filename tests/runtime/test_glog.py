"""Where log lines go: glog's settings from flags and the environment, the copy in log_dir,
pycaffe's init_log and log.
"""

import os
import re

import pytest

import caffe
from caffe import log


@pytest.fixture
def said(capsys):
    """said(**flags): stderr and stdout after one line of each level below FATAL."""

    def write(**flags):
        with log.of_program("tool"):
            log.set_flags(flags)
            log.info("x.cpp:1", "all well")
            log.warning("x.cpp:2", "look out")
            log.error("x.cpp:3", "too late")
        return capsys.readouterr()

    return write


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("GLOG_")]:
        monkeypatch.delenv(name)


def levels(text):
    return "".join(row[0] for row in text.splitlines())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, "IWE"),
        ({"minloglevel": 1}, "WE"),
        ({"alsologtostderr": False}, "E"),
        ({"alsologtostderr": False, "stderrthreshold": 1}, "WE"),
        ({"logtostderr": True}, "IWE"),
        ({"logtostdout": True}, ""),
        ({"v": 3, "vmodule": "net=2", "colorlogtostderr": True}, "IWE"),
    ],
)
def test_levels_on_stderr(said, flags, expected):
    assert levels(said(**flags).err) == expected


def test_the_environment(said, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    assert levels(said().err) == "E"
    assert levels(said(minloglevel=0).err) == "IWE"  # a flag overrides it
    monkeypatch.setenv("GLOG_minloglevel", "much")
    assert levels(said().err) == "IWE"


def test_a_fatal_line_is_never_dropped(capsys):
    with log.of_program("tool"):
        log.set_flags({"minloglevel": 9})
        log.line("F", "x.cpp:1", "the end")
    assert levels(capsys.readouterr().err) == "F"


def test_the_form_of_a_line(said):
    assert re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ x\.cpp:1\] all well\n", said().err)
    assert re.match(
        r"I\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ x\.cpp:1\] ", said(log_year_in_prefix=True).err
    )
    assert said(log_prefix=False).err == "all well\nlook out\ntoo late\n"


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_copies(said, tmp_path, monkeypatch, how):
    """One file per level, each with the lines of its level and above; a link to the newest."""
    if how == "flag":
        err = said(log_dir=str(tmp_path)).err
    else:
        monkeypatch.setenv("GLOG_log_dir", str(tmp_path))
        err = said().err
    assert levels(err) == "IWE"
    for name, expected in (("INFO", "IWE"), ("WARNING", "WE"), ("ERROR", "E")):
        head, machine, form, *rows = (tmp_path / f"tool.{name}").read_text().splitlines()
        assert head.startswith("Log file created at: ")
        assert machine.startswith("Running on machine: ")
        assert form == "Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg"
        assert levels("\n".join(rows)) == expected
        assert rows == err.splitlines()[-len(expected) :]
        pattern = rf"tool\..+\.log\.{name}\.\d{{8}}-\d{{6}}\.{os.getpid()}"
        assert re.fullmatch(pattern, os.readlink(tmp_path / f"tool.{name}"))
    assert not (tmp_path / "tool.FATAL").exists()


@pytest.mark.parametrize("flags", [{"logtostderr": True}, {"logtostdout": True}])
def test_no_copy(said, tmp_path, flags):
    said(log_dir=str(tmp_path), **flags)
    assert not list(tmp_path.iterdir())


def test_a_copy_that_cannot_be_written_is_reported_once_and_the_log_goes_on(said, tmp_path):
    rows = said(log_dir=str(tmp_path / "none")).err.splitlines()
    assert [row for row in rows if "does the folder exist?" in row] == [
        row for row in rows if not re.match(r"[IWE]\d{4} ", row)
    ]
    assert levels("\n".join(row for row in rows if re.match(r"[IWE]\d{4} ", row))) == "IWE"


def test_a_full_disk_behind_stderr_does_not_end_the_program(monkeypatch):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        log.error("x.cpp:1", "nobody reads this")
        monkeypatch.undo()
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_pycaffes_log(capsys):
    with log.of_program(None):
        caffe.log("hello")
        assert re.fullmatch(
            r"I\d{4} [\d:.]+ +\d+ _caffe\.cpp:52\] hello\n", capsys.readouterr().err
        )
        caffe.init_log(1, True)
        caffe.log("dropped")
        log.warning("x.cpp:1", "kept")
        assert levels(capsys.readouterr().err) == "W"
        caffe.init_log()
        caffe.log("back")
        assert levels(capsys.readouterr().err) == "I"
