"""Where log lines go: glog's settings, the copy in log_dir, pycaffe's init_log and log."""

import os
import re

import pytest

import caffe
from caffe import log


@pytest.fixture
def logged(capsys):
    """logged(**flags): stderr and stdout after one line of each level below FATAL."""

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
def test_levels_on_stderr(logged, flags, expected):
    assert levels(logged(**flags).err) == expected


def test_the_environment(logged, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "2")
    assert levels(logged().err) == "E"
    assert levels(logged(minloglevel=0).err) == "IWE"  # a flag overrides it
    monkeypatch.setenv("GLOG_minloglevel", "much")
    assert levels(logged().err) == "IWE"


def test_a_fatal_line_is_never_dropped(capsys):
    with log.of_program("tool"):
        log.set_flags({"minloglevel": 9})
        log.line("F", "x.cpp:1", "the end")
    assert levels(capsys.readouterr().err) == "F"


def test_the_form_of_a_line(logged):
    assert re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ x\.cpp:1\] all well\n", logged().err)
    assert re.match(
        r"I\d{8} \d\d:\d\d:\d\d\.\d{6} +\d+ x\.cpp:1\] ", logged(log_year_in_prefix=True).err
    )
    assert logged(log_prefix=False).err == "all well\nlook out\ntoo late\n"


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_copies(logged, tmp_path, monkeypatch, how):
    """One file per level, each with the lines of its level and above; a link to the newest."""
    if how == "flag":
        err = logged(log_dir=str(tmp_path)).err
    else:
        monkeypatch.setenv("GLOG_log_dir", str(tmp_path))
        err = logged().err
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
def test_no_copy(logged, tmp_path, flags):
    logged(log_dir=str(tmp_path), **flags)
    assert not list(tmp_path.iterdir())


def test_a_copy_that_cannot_be_written_is_reported_once_and_logging_continues(logged, tmp_path):
    rows = logged(log_dir=str(tmp_path / "none")).err.splitlines()
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
