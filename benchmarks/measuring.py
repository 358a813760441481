"""What the benchmarks share: sides that run in turn, their ratios, and the record of a measurement.

A benchmark compares sides that do the same work: the project's way and a straightforward one.
Their times on one machine differ from hour to hour, and more so if the machine does other work.
So the sides run in turn, a round of all of them after the other, and what counts is the ratio
within each round.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from texttopicnet import artefacts, command_line, json_files, results
from texttopicnet.errors import UserError

LIBRARIES = ("numba", "lmdb", "protobuf", "pillow")  # besides those of results.versions
WRITTEN = ("benchmarks/results", "benchmarks/README.md")  # by the benchmarks themselves
FIELDS = (
    "benchmark",
    "settings",
    "comparisons",
    "values",
    "note",
    "started",
    "seconds",
    "load",
    "other_work",
    "commit",
    "versions",
    "hardware",
)


def seconds_of(function: Callable[[], object]) -> float:
    """The seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(
    sides: dict[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 0,
    clock: Callable[[Callable[[], object]], float] = seconds_of,
    what: str = "",
) -> dict[str, list[float]]:
    """Seconds of every side in every round; each is printed as soon as it is known.

    Every second round runs the sides in the reverse order, so that none always comes first.

    Parameters
    ----------
    sides : dict
        {name: function without arguments}.
    rounds : int
        At least 1.
    warm_up : int
        Rounds before the first that counts.
    clock : callable
        Calls a side and returns its seconds, e.g. by the events of a GPU.
    what : str
        What is measured, for the printed lines.

    Returns
    -------
    dict
        {name: list of float of length `rounds`}, in the order of `sides`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm_up, rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            took = clock(sides[name])
            if number >= 0:
                seconds[name].append(took)
                print(f"{what and what + ', '}round {number + 1}: {name} {took:.4g} s", flush=True)
    return seconds


def ratios(slower: list[float], faster: list[float]) -> dict[str, float]:
    """How many times as long `slower` took: the least, median and most of the rounds' ratios."""
    found = [a / b for a, b in zip(slower, faster, strict=True)]
    return {
        "least": round(min(found), 3),
        "median": round(statistics.median(found), 3),
        "most": round(max(found), 3),
    }


def comparison(
    what: str,
    seconds: dict[str, list[float]],
    ours: str,
    theirs: str,
    unit: str = "s",
    factor: float = 1.0,
    size: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A row of a record: two sides at one size.

    Parameters
    ----------
    what : str
        The work that both do.
    seconds : dict
        What `in_turn` returns; may have further sides.
    ours, theirs : str
        The project's side and the straightforward one.
    unit : str
    factor : float
        From seconds to `unit`, e.g. 1000 / articles for "ms per article".
    size : int, optional
        For the plots of cost against size.
    **more
        Further entries, JSON values.

    Returns
    -------
    dict
        what, size, unit, ours, theirs, times ({side: list of float, in `unit`}), ratio (how many
        times as long `theirs` took: least, median and most), and `more`.
    """
    times = {name: [float(f"{factor * t:.5g}") for t in each] for name, each in seconds.items()}
    return {
        "what": what,
        "size": size,
        "unit": unit,
        "ours": ours,
        "theirs": theirs,
        "times": times,
        "ratio": ratios(seconds[theirs], seconds[ours]),
        **more,
    }


def described(row: dict[str, Any]) -> str:
    """A row in one line, to print."""
    ours, theirs = (statistics.median(row["times"][row[side]]) for side in ("ours", "theirs"))
    ratio = row["ratio"]
    return (
        f"{row['what']}: {row['ours']} {ours:.4g} {row['unit']}, {row['theirs']} {theirs:.4g}"
        f" {row['unit']}, ratio {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
    )


def _busy_seconds() -> float:
    """Processor seconds of the whole machine since its start."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0)
    # Linux counts the time of guests twice
    return sum(times) - idle - getattr(times, "guest", 0) - getattr(times, "guest_nice", 0)


def _own_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextlib.contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """Watch the machine while a benchmark runs.

    Yields
    ------
    dict
        Filled at the end of the block: started (UTC), seconds, load (the machine's load average of
        a minute, before and after), other_work (cores that other programs kept busy, on average),
        commit, versions, hardware.
    """
    seen: dict[str, Any] = {}
    started = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    load = [os.getloadavg()[0]]
    begin, busy, own = time.perf_counter(), _busy_seconds(), _own_seconds()
    yield seen
    seconds = time.perf_counter() - begin
    others = (_busy_seconds() - busy) - (_own_seconds() - own)
    load.append(os.getloadavg()[0])
    seen |= {
        "started": started,
        "seconds": round(seconds, 1),
        "load": [round(each, 2) for each in load],
        "other_work": round(max(others, 0) / max(seconds, 0.1), 2),
        "commit": commit(),
        "versions": versions(),
        "hardware": results.hardware(),
    }


def commit() -> str:
    """`results.commit`, for which records and tables that a benchmark has just written are no
    change.
    """
    found = results.commit()
    if not found.endswith("-dirty"):
        return found
    command = ["git", "-C", str(artefacts.ROOT), "status", "--porcelain", "--untracked-files=no"]
    others = ["--", ".", *(f":(exclude){path}" for path in WRITTEN)]
    changed = subprocess.run([*command, *others], capture_output=True, text=True, check=True)
    return found if changed.stdout.strip() else found.removesuffix("-dirty")


def versions() -> dict[str, str]:
    """`results.versions`, and those of further libraries that decide about speed."""
    found = results.versions()
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def record(
    benchmark: str,
    settings: dict[str, Any],
    comparisons: list[dict[str, Any]],
    seen: dict[str, Any],
    values: dict[str, Any] | None = None,
    note: str = "",
) -> dict[str, Any]:
    """The record of a benchmark: its rows, and the machine that they were measured on.

    Parameters
    ----------
    benchmark : str
        The name of the part.
    settings : dict
        Sizes and rounds.
    comparisons : list of dict
        From `comparison`.
    seen : dict
        What `watched` has filled.
    values : dict, optional
        Further numbers, {name: JSON value}.
    note : str
        What a reader must know besides the numbers.
    """
    return {
        "benchmark": benchmark,
        "settings": settings,
        "comparisons": comparisons,
        "values": values or {},
        "note": note,
        **seen,
    }


def save(path: Path, found: dict[str, Any]) -> None:
    """Write a record, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results.save(path, found)


def load(path: Path) -> dict[str, Any]:
    """Read a record; UserError if it is not JSON or lacks one of `FIELDS`."""
    found = json_files.read(path, f"python benchmarks/run.py {path.stem}")
    lacking = [field for field in FIELDS if not isinstance(found, dict) or field not in found]
    if lacking:
        raise UserError(
            f"{path} is not the record of a benchmark: it lacks {', '.join(lacking)}; make it again"
            f" with python benchmarks/run.py {path.stem}"
        )
    return found


def parser(doc: str, unit: str) -> command_line.Parser:
    """A parser with the options of every benchmark; `unit` is what the sizes count."""
    made = command_line.parser(doc)
    made.add_argument(
        "--sizes",
        type=command_line.whole("--sizes"),
        nargs="+",
        metavar="N",
        help=f"{unit} to measure with (default: those of the full run)",
    )
    command_line.add_options(
        made, "--rounds", default=None, help="times that each side runs (default: 3; --quick: 2)"
    )
    made.add_argument("--quick", action="store_true", help="small sizes, in less than a minute")
    made.add_argument(
        "--out", type=Path, metavar="FILE", help="where the record goes (default: nowhere)"
    )
    return made


def settings(
    args: argparse.Namespace, full: dict[str, Any], quick: dict[str, Any]
) -> dict[str, Any]:
    """The settings of the full or the quick run, with what the command line changes; 'quick' says
    which of the two.
    """
    chosen = (quick if args.quick else full) | {"quick": args.quick}
    for name in chosen:
        if getattr(args, name, None) is not None:
            chosen[name] = getattr(args, name)
    return chosen


def report(found: dict[str, Any], out: Path | None) -> None:
    """Print a record's numbers, and save it if `out` names a file."""
    for row in found["comparisons"]:
        print(described(row))
    for name, value in found["values"].items():
        print(f"{name}: {value}")
    if out:
        save(out, found)
        print(out)
