"""Measure what the READMEs claim about speed, each against a straightforward way.

Reads:   nothing; articles, images, topic vectors and features are drawn
Writes:  OUT/<part>.json, OUT/corpus.svg and images.svg (cost against size), and the tables of
         benchmarks/README.md; with --quick, work/benchmarks/ and its tables.md instead
Paper:   none of its tables
Usage:   python benchmarks/run.py [PART ...] [--quick] [--out DIR] [--tables] [--check]

Each part is a program of its own, with its own process, and --help says more about it.  All parts
take about 15 minutes on two idle cores, with --quick 3.  Each record is written as soon as its part
ends, so that an interrupted run loses one part only.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import sys
import tempfile
import time
from pathlib import Path

import cost_plots
import record_tables

from texttopicnet import artefacts, atomic_files, child_process, command_line, tables
from texttopicnet.errors import UserError

HERE = artefacts.ROOT / "benchmarks"
RESULTS, QUICK_RESULTS = HERE / "results", artefacts.ROOT / "work" / "benchmarks"
README = HERE / "README.md"
# part: its program
PARTS = {
    "tokens": "tokenize_articles.py",
    "topics": "learn_topics.py",
    "labels": "label_articles.py",
    "scale_text": "scale_text.py",
    "lmdb": "pack_images.py",
    "reader": "read_batches.py",
    "layers": "lrn_and_pooling.py",
    "training": "train_caffenet.py",
    "processes": "two_processes.py",
    "svm": "score_svms.py",
    "retrieval": "rank_texts.py",
    "index": "search_topics.py",
    "busy": "busy.py",
}
OPTIONS = {"busy": ["--rounds", "2"]}  # of a full run
TOO_LONG = ("busy",)  # for a quick run that names no parts
SCALE_SIZES, QUICK_SCALE_SIZES = ["400", "800", "1600"], ["100", "200"]


def command(part: str, folder: Path, quick: bool, scratch: str) -> list[str | Path]:
    """The command that measures a part."""
    program, out = HERE / PARTS[part], folder / f"{part}.json"
    if part == "scale_text":  # larger sizes that its record holds already are kept
        sizes = QUICK_SCALE_SIZES if quick else SCALE_SIZES
        options = ["--articles", *sizes, "--force", "--folder", scratch]
    else:
        options = ["--quick"] if quick else OPTIONS.get(part, [])
    return [sys.executable, program, *options, "--out", out]


def measure(parts: list[str], folder: Path, quick: bool) -> tuple[list[str], list[str], bool]:
    """Measure parts, one after the other.

    Returns
    -------
    ended, failed : list of str
        Names of parts.
    stopped : bool
        Whether a signal stopped the run; a line says how to go on.
    """
    ended, failed = [], []
    for number, part in enumerate(parts, start=1):
        print(f"part {number} of {len(parts)}: {part} ({PARTS[part]})", flush=True)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as scratch:
            done = child_process.run(command(part, folder, quick, scratch))
        if done.signal:
            rest = " ".join(parts[number - 1 :])
            print(
                f"stopped in {part}; records of this run: {', '.join(ended) or 'none'}."
                f" Measure the rest with: python benchmarks/run.py {rest}"
            )
            return ended, failed, True
        if done.status:
            print(f"{part} failed with status {done.status}", flush=True)
            failed.append(part)
        else:
            ended.append(part)
            print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)
    return ended, failed, False


def show(folder: Path, readme: Path | None, check: bool) -> None:
    """Make tables and plots from the records in a folder; without `readme`, the tables go to
    tables.md there.
    """
    names = list(PARTS)
    made = record_tables.tables(folder, names)
    if not made:
        raise UserError(f"{folder} holds no records: make them with python benchmarks/run.py")
    if readme:
        before = readme.read_text(encoding="utf-8")
        after = tables.with_tables(before, made, readme)
        if check and before != after:
            raise UserError(
                f"the tables in {readme} are not those of {folder}: run python benchmarks/run.py"
                " --tables"
            )
        if before != after:
            with atomic_files.written_whole(readme) as temporary:
                temporary.write_text(after, encoding="utf-8")
    else:
        with atomic_files.written_whole(folder / "tables.md") as temporary:
            temporary.write_text("\n".join(map(tables.markdown, made)), encoding="utf-8")
    print(f"tables: {readme or folder / 'tables.md'}")
    if not check:
        records, rows = record_tables.load_all(folder, names), record_tables.load_scale(folder)
        print(f"plots: {', '.join(map(str, cost_plots.draw(records, rows, folder)))}")


def main() -> int:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"{', '.join(PARTS)} (default: all; with --quick all but busy)",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes and fewer rounds")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the records (default: benchmarks/results; with --quick work/benchmarks)",
    )
    parser.add_argument(
        "--tables", action="store_true", help="measure nothing; make tables and plots again"
    )
    parser.add_argument(
        "--check", action="store_true", help="measure nothing; fail if the README's tables differ"
    )
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        raise UserError(f"there is no part {unknown[0]}: the parts are {', '.join(PARTS)}")
    folder = args.out or (QUICK_RESULTS if args.quick else RESULTS)
    readme = README if folder.resolve() == RESULTS else None
    ended, failed, stopped = list(PARTS), [], False
    if not (args.tables or args.check):
        default = [part for part in PARTS if not (args.quick and part in TOO_LONG)]
        parts = args.parts or default
        size = "small sizes" if args.quick else "full sizes"
        print(f"measuring {', '.join(parts)}: {size}, records in {folder}", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        ended, failed, stopped = measure(parts, folder, args.quick)
    if ended:  # also of a stopped run, so that tables and records agree
        show(folder, readme, args.check)
    if stopped:
        raise KeyboardInterrupt
    if failed:
        raise UserError(f"{', '.join(failed)} failed; why is said above")
    return 0


if __name__ == "__main__":
    command_line.run(main)
