"""The grammar of Caffe's log: a line's prefix, and the lines of a training that tools read.

``I1123 15:06:43.027683 32129 solver.cpp:239] Iteration 20 (2 iter/s, 10s/20 iters), loss = 8.5``
"""

import datetime
import re
import time
from typing import NamedTuple

# level, date with or without a year, time, thread, position in Caffe's source
PREFIX = re.compile(
    r"[IWEF](?P<year>\d{4})?(?P<month>\d\d)(?P<day>\d\d)"
    r" (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)\.(?P<microsecond>\d{6})\s"
    r"(?:\s*(?P<thread>\d+) (?P<position>\S+:\d+)\] )?"
)
NUMBER = r"([-+]?(?:\d*\.?\d+(?:[eE][-+]?\d+)?|nan|inf))"
ITERATION = re.compile(r"Iteration (\d+)")
LOSS = re.compile(rf"{ITERATION.pattern}(?: \(.*\))?, loss = {NUMBER}")
OUTPUT = re.compile(rf"(Train|Test) net output #\d+: (\S+) = {NUMBER}")
TESTING = re.compile(rf"{ITERATION.pattern}, Testing net \(#(\d+)\)")
# only the runtime's own logs have this line
VARIANCE = re.compile(rf"Output variance into (.+): {NUMBER}")
# what `caffe train` computes on; the group is empty for the CPU
DEVICE = re.compile(r"\] (?:Use CPU\.|GPU \d+: (.*))$", re.MULTILINE)
PRECISION = re.compile(r"\] Precision: (\w+)")
LEARNING_RATE = re.compile(f"lr = {NUMBER}")


class Line(NamedTuple):
    """A line with a prefix.

    Attributes
    ----------
    time : datetime.datetime
    thread, position : str
        Such as ``'32129'`` and ``'solver.cpp:239'``; empty if the prefix ends after the time.
    text : str
    """

    time: datetime.datetime
    thread: str
    position: str
    text: str


def prefix(
    level: str, moment: time.struct_time, microsecond: int, thread: int, position: str, year: bool
) -> str:
    """A line's prefix, up to the space before its text; `year` adds the year to the date.

    Parameters
    ----------
    level : {'I', 'W', 'E', 'F'}
    """
    stamp = time.strftime("%Y%m%d %H:%M:%S" if year else "%m%d %H:%M:%S", moment)
    return f"{level}{stamp}.{microsecond:06d} {thread:5d} {position}] "


def parse(row: str, year: int) -> Line | None:
    """A row of a log as a Line, or None if it has no prefix (only a message's first row has one).

    Parameters
    ----------
    row : str
    year : int
        For rows whose prefix has none.
    """
    match = PREFIX.match(row)
    if not match:
        return None
    found = match.groupdict()
    numbers = (found[unit] for unit in ("month", "day", "hour", "minute", "second", "microsecond"))
    try:
        when = datetime.datetime(int(found["year"] or year), *map(int, numbers))
    except ValueError:
        return None
    return Line(when, found["thread"] or "", found["position"] or "", row[match.end() :])
