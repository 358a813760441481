"""Log lines in glog's grammar, as Caffe writes them.

``I1123 15:06:43.027683 32129 solver.cpp:45] text``

The positions (`solver.cpp:239`) are those of BVLC Caffe 1.0, because tools that parse Caffe's logs
look for them.  The prefix has no year, as parse_log.py and extract_seconds.py expect.  The module
itself can be called, like pycaffe's `caffe.log("text")`.

glog's settings come from a command's flags (`-minloglevel 1`) or from the environment
(`GLOG_minloglevel=1`):

minloglevel
    0 INFO, 1 WARNING, 2 ERROR, 3 FATAL.  Lower levels are dropped; FATAL is always written.
alsologtostderr
    On, as in Caffe's tools.  Without it, only ERROR and FATAL go to stderr (stderrthreshold 2).
log_dir
    A folder for a copy of the log, PROGRAM.HOST.USER.log.LEVEL.DATE-TIME.PID, with PROGRAM.LEVEL as
    a link to it.  Unlike glog, no copy is written to /tmp if log_dir is not given.
logtostderr
    Log to stderr only, without a copy.
logtostdout, log_prefix, log_year_in_prefix, log_utc_time
    As their names say.
"""

import contextlib
import getpass
import os
import platform
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping
from typing import TextIO

from caffe import log_grammar
from caffe.gflags import FALSE

LEVELS = {"I": 0, "W": 1, "E": 2, "F": 3}
NAMES = ("INFO", "WARNING", "ERROR", "FATAL")
DEFAULTS = {
    "alsologtostderr": True,
    "logtostderr": False,
    "logtostdout": False,
    "log_prefix": True,
    "log_year_in_prefix": False,
    "log_utc_time": False,
    "minloglevel": 0,
    "stderrthreshold": 2,
    "log_dir": "",
}
FROM_THE_TOOLS = ("alsologtostderr",)  # Caffe's tools set it; the environment does not matter
_whole_lines = threading.RLock()  # data threads log too
_given = {}  # settings from flags
_copies = {}  # {severity: open file, or None if it cannot be written}
_program = None  # copies are written once this is known


def setting(name: str) -> bool | int | str:
    """One of glog's settings: from the flags, the environment (GLOG_name), or the defaults."""
    if name in _given:
        return _given[name]
    default = DEFAULTS[name]
    text = None if name in FROM_THE_TOOLS else os.environ.get(f"GLOG_{name}")
    if not text:
        return default
    if isinstance(default, bool):
        return text.lower() not in FALSE
    if isinstance(default, int):
        return int(text) if text.lstrip("-").isdecimal() else default
    return text


def set_flags(values: Mapping[str, bool | int | float | str]) -> None:
    """Take over glog's flags from a command line; other flags are ignored."""
    _given.update({name: value for name, value in values.items() if name in DEFAULTS})


@contextlib.contextmanager
def of_program(name: str) -> Iterator[None]:
    """Log as the program `name` inside the block; the flags set there are forgotten afterwards."""
    global _program
    before = _program, dict(_given), dict(_copies)
    _copies.clear()
    _program = name
    try:
        yield
    finally:
        _close()
        _program = before[0]
        _given.clear()
        _given.update(before[1])
        _copies.update(before[2])


def init_log(level: int = 0, stderr: bool = False) -> None:
    """pycaffe's init_log: drop levels below `level`, and write a copy if GLOG_log_dir is set.

    BVLC's init_log sends INFO and WARNING only to files in /tmp; here they stay on stderr.

    Parameters
    ----------
    level : int
        0 INFO to 3 FATAL.
    stderr : bool
        Log to stderr only, without a copy.
    """
    global _program
    _given["minloglevel"] = int(level)
    if stderr:
        _given["logtostderr"] = True
    _program = os.path.basename(sys.argv[0]).removesuffix(".py") or "python"


def line(level: str, position: str, text: str) -> None:
    """Write one log line.

    Parameters
    ----------
    level : {'I', 'W', 'E', 'F'}
    position : str
        Caffe's source position, such as ``'net.cpp:86'``.
    text : str
        May have several lines; only the first gets the prefix, as in Caffe.
    """
    severity = LEVELS[level]
    if severity < min(setting("minloglevel"), LEVELS["F"]):
        return
    now = time.time()
    moment = time.gmtime(now) if setting("log_utc_time") else time.localtime(now)
    thread, year = threading.get_native_id(), setting("log_year_in_prefix")
    prefix = log_grammar.prefix(level, moment, int(now % 1 * 1e6), thread, position, year)
    row = f"{prefix if setting('log_prefix') else ''}{text}\n"
    with _whole_lines:
        if setting("logtostdout"):
            _put(sys.stdout, row)
        elif (
            setting("logtostderr")
            or setting("alsologtostderr")
            or severity >= setting("stderrthreshold")
        ):
            _put(sys.stderr, row)
        if (
            _program
            and setting("log_dir")
            and not (setting("logtostderr") or setting("logtostdout"))
        ):
            _copy(severity, row)


def _put(stream: TextIO, row: str):
    """Write to a stream; as with glog, a full disk or a closed pipe must not end a training."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.write(row)
        stream.flush()


def _copy(severity: int, row: str):
    """Add the row to the copies of its severity and of all lower ones."""
    for index in range(severity, -1, -1):
        if index not in _copies:
            _copies[index] = _opened(index)
        file = _copies[index]
        if file is None:
            continue
        try:
            file.write(row)
            file.flush()
        except OSError as error:
            _copies[index] = None
            _put(
                sys.stderr,
                f"{file.name}: the copy of the log ends here ({error.strerror or error})\n",
            )
            with contextlib.suppress(OSError):
                file.close()


def _opened(severity: int) -> TextIO | None:
    """Open the copy of a severity, with its head and its link; None if it cannot be written."""
    folder, now = setting("log_dir"), time.localtime()
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = "invalid-user"
    host = platform.node() or "(unknown)"
    level, moment = NAMES[severity], time.strftime("%Y%m%d-%H%M%S", now)
    name = f"{_program}.{host}.{user}.log.{level}.{moment}.{os.getpid()}"
    path = os.path.join(folder, name)
    try:  # it stays open until _close
        file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    except OSError as error:
        _put(
            sys.stderr,
            f"{path}: no copy of the log is written there ({error.strerror or error});"
            " does the folder exist?\n",
        )
        return None
    if not file.tell():
        file.write(f"Log file created at: {time.strftime('%Y/%m/%d %H:%M:%S', now)}\n")
        file.write(f"Running on machine: {host}\n")
        file.write("Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n")
    link = os.path.join(folder, f"{_program}.{level}")
    with contextlib.suppress(OSError):
        if os.path.islink(link):
            os.remove(link)
        os.symlink(name, link)
    return file


def _close():
    for file in filter(None, _copies.values()):
        with contextlib.suppress(OSError):
            file.close()
    _copies.clear()


def info(position: str, text: str) -> None:
    """Write an INFO line; see `line`."""
    line("I", position, text)


def warning(position: str, text: str) -> None:
    """Write a WARNING line; see `line`."""
    line("W", position, text)


def error(position: str, text: str) -> None:
    """Write an ERROR line; see `line`."""
    line("E", position, text)


def number(value: float) -> str:
    """Format a number as a C++ stream does: six significant digits, no trailing zeros."""
    return f"{float(value):.6g}"


class _Log(types.ModuleType):
    """This module, which scripts for pycaffe call like a function."""

    def __call__(self, text: str) -> None:
        """Log `text` as an INFO line."""
        info("_caffe.cpp:52", text)


sys.modules[__name__].__class__ = _Log
