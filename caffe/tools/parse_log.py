"""parse_log: a training log as two tables, <log>.train and <log>.test, and a picture, <log>.png
(Caffe: parse_log.py).

A table has one row per display or test: NumIters, Seconds since "Solving", LearningRate, then the
net's outputs by name.  The tables are those of Caffe's script, byte for byte.  In addition, the
prefix of newer glogs (I20261123) is understood, and so is a log with a single row, which Caffe's
script leaves out.
"""

import csv
import datetime
import io
import os
import sys
from collections.abc import Sequence

from caffe import command_line, log, log_grammar, regular_file
from caffe.command_line import Fatal
from caffe.error import CaffeError
from caffe.whole_file import renamed_when_whole

USAGE = """parse_log: Parse a training log into two tables, of training and of testing, and a plot.
usage: caffe parse_log [--verbose] [--delimiter ,] LOGFILE_PATH OUTPUT_DIR
"""
FLAGS = {"verbose": {"action": "store_true"}, "delimiter": {"default": ","}}
HERE = "parse_log.py:1"

FIRST_COLUMNS = ("NumIters", "Seconds", "LearningRate")

Table = list[dict[str, float]]  # one {column: value} per row
Rates = list[tuple[float, float]]  # (iteration, learning rate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console command; returns the exit status."""
    return command_line.run(parse_and_save, HERE, arguments, USAGE)


def parse_and_save(arguments: Sequence[str]) -> None:
    """Parse a log and write its tables and its picture."""
    args = command_line.flags(arguments, FLAGS, HERE, "LOGFILE_PATH OUTPUT_DIR")
    if len(args.delimiter) != 1:
        raise Fatal(HERE, f"--delimiter must be one character, not '{args.delimiter}'")
    path, folder = args.rest
    train, test, rates = parse_log(path)
    base = os.path.join(folder, os.path.basename(path))
    for rows, name in ((train, f"{base}.train"), (test, f"{base}.test")):
        if rows:
            write_table(rows, name, args.delimiter)
        if args.verbose:
            print(f"Wrote {name}" if rows else f"Not writing {name}; no lines to parse")
    try:
        draw(train, test, rates, f"{base}.png", os.path.basename(path))
    except ModuleNotFoundError as error:
        log.warning(HERE, f"{base}.png is left out: pip install {error.name}, which draws it")
        return
    if args.verbose:
        print(f"Wrote {base}.png")


def parse_log(path: str) -> tuple[Table, Table, Rates]:
    """Parse a log.

    Returns
    -------
    (Table, Table, Rates)
        The table of training and that of testing, and the learning rates.  A row's LearningRate is
        the last one that was logged before it, as in Caffe's script: at the iteration of a drop it
        is still the old one.

    Raises
    ------
    CaffeError
        The file is missing, or not the log of a training.
    """
    regular_file.check(path)
    try:
        year = datetime.datetime.fromtimestamp(os.path.getmtime(path)).year
        with open(path, encoding="utf-8", errors="replace") as f:
            lines = f.read().splitlines()
    except OSError as error:
        raise CaffeError(f"{path}: {error.strerror or error}") from error
    rows, rates = {"Train": [], "Test": []}, []
    start = last = iteration = None
    rate = float("nan")
    for line in lines:
        parsed = log_grammar.parse(line, year)
        if parsed is None:
            continue
        if last is not None and parsed.time.month < last.month and parsed.time.year == last.year:
            year += 1  # New Year, which the prefix does not tell
            parsed = log_grammar.parse(line, year) or parsed  # 29 February
        last = now = parsed.time
        if start is None:
            start = now if "Solving" in line else None
            continue
        if match := log_grammar.ITERATION.search(line):
            iteration = float(match[1])
        if iteration is None:
            continue
        if match := log_grammar.LEARNING_RATE.search(line):
            rate = float(match[1])
            rates.append((iteration, rate))
        if match := log_grammar.OUTPUT.search(line):
            add(
                rows[match[1]],
                iteration,
                (now - start).total_seconds(),
                rate,
                match[2],
                float(match[3]),
            )
    if start is None:
        raise CaffeError(f'{path}: is not the log of a training by Caffe (no line says "Solving")')
    for table in rows.values():
        if len(table) > 1:  # the first rate is logged after the first outputs
            table[0]["LearningRate"] = table[1]["LearningRate"]
    return rows["Train"], rows["Test"], rates


def add(
    table: Table, iteration: float, seconds: float, rate: float, name: str, value: float
) -> None:
    """Put one output into the table's last row, or into a new one."""
    if not table or table[-1]["NumIters"] != iteration or name in table[-1]:
        table.append(dict(zip(FIRST_COLUMNS, (iteration, seconds, rate), strict=True)))
    table[-1][name] = value


def write_table(rows: Table, path: str, delimiter: str) -> None:
    """Write rows as CSV with CR LF at line ends, and columns in the order of their appearance."""
    columns = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    with (
        renamed_when_whole(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as f,
    ):
        f.write(text.getvalue())


def draw(train: Table, test: Table, rates: Rates, path: str, title: str) -> None:
    """Draw the losses and the learning rate over the iterations as a PNG.

    Raises
    ------
    ModuleNotFoundError
        matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for rows, phase, style in ((train, "train", "-"), (test, "test", "o--")):
        for name in losses(rows):
            points = [(row["NumIters"], row[name]) for row in rows if name in row]
            above.plot(
                *zip(*points, strict=True),
                style,
                markersize=4,
                linewidth=1.2,
                label=f"{phase}: {name}",
            )
    if train or test:
        above.legend(frameon=False)
    if rates:
        below.plot(*zip(*rates, strict=True), "k-", linewidth=1.2, drawstyle="steps-post")
        values = [rate for _, rate in rates]
        if min(values) > 0 and max(values) >= 10 * min(values):
            below.set_yscale("log")
    above.set_title(title)
    above.set_ylabel("loss")
    below.set_ylabel("learning rate")
    below.set_xlabel("iteration")
    below.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for axes in (above, below):
        axes.grid(alpha=0.3)
    with renamed_when_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def losses(rows: Table) -> list[str]:
    """The outputs to draw: those with loss in their name, or all if there are none."""
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if name not in FIRST_COLUMNS
    ]
    return [name for name in names if "loss" in name.lower()] or names


if __name__ == "__main__":
    sys.exit(main())
