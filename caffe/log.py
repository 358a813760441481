"""Log lines in glog's grammar on stderr, as Caffe writes them: ``I1123 15:06:43.027683 32129 solver.cpp:45] text``.

The positions (`solver.cpp:239`) are those of BVLC Caffe 1.0, because tools that parse Caffe logs match them.
The prefix has no year, as parse_log.py and extract_seconds.py expect.  ``GLOG_minloglevel`` (0 INFO, 1 WARNING,
2 ERROR, 3 FATAL) silences lower levels, as with glog.
"""

import os
import sys
import threading
import time

LEVELS = {"I": 0, "W": 1, "E": 2, "F": 3}
_whole_lines = threading.Lock()  # data threads log too


def line(level, position, text):
    """Write one log line.

    Parameters
    ----------
    level : {'I', 'W', 'E', 'F'}
    position : str
        Caffe's source position, such as ``'net.cpp:86'``.
    text : str
        May hold several lines; only the first carries the prefix, as in Caffe.
    """
    if LEVELS[level] < int(os.environ.get("GLOG_minloglevel") or 0):
        return
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now))
    micro = int(now % 1 * 1e6)
    thread = threading.get_native_id()
    with _whole_lines:
        print(f"{level}{stamp}.{micro:06d} {thread:5d} {position}] {text}", file=sys.stderr, flush=True)


def info(position, text):
    line("I", position, text)


def warning(position, text):
    line("W", position, text)


def error(position, text):
    line("E", position, text)


def number(value):
    """Format a number as a C++ stream does: six significant digits, no trailing zeros."""
    return f"{float(value):.6g}"
