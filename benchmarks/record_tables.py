"""The tables of benchmarks/README.md, made from the records."""

import statistics
from pathlib import Path
from typing import Any

import measuring

from texttopicnet import json_files
from texttopicnet.tables import Table

SCALE = "scale_text"  # a record of its own form: {number of articles: row}
Record = dict[str, Any]


def load_all(folder: Path, names: list[str]) -> dict[str, Record]:
    """{part: record} of the parts that have one, in the order of the names."""
    paths = {name: folder / f"{name}.json" for name in names if name != SCALE}
    return {name: measuring.load(path) for name, path in paths.items() if path.exists()}


def load_scale(folder: Path) -> dict[str, Record]:
    """{number of articles: row} of scale_text.py, ascending; empty without its record."""
    path = folder / f"{SCALE}.json"
    rows = json_files.read(path, "benchmarks/scale_text.py") if path.exists() else {}
    return dict(sorted(rows.items(), key=lambda item: int(item[0])))


def number(value: float) -> str:
    """Three significant digits, without an exponent for numbers that people read as such."""
    if isinstance(value, int) or value == 0:
        return f"{int(value):,}"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def compared(records: dict[str, Record]) -> Table:
    """Every comparison: the medians of both sides, and the ratio of the rounds."""
    rows = []
    for part, record in records.items():
        for row in record["comparisons"]:
            ratio = row["ratio"]
            sides = [
                f"{side}: {number(statistics.median(row['times'][side]))}"
                for side in (row["ours"], row["theirs"])
            ]
            cells = [part, row["what"], *sides, row["unit"], shown(ratio)]
            rows.append({"cells": cells, "own": True})
    return {
        "title": "Against a straightforward way",
        "lead": [
            "Medians of the rounds. The ratio is how many times as long the straightforward way"
            " took within a round: median (least–most)."
        ],
        "header": ["part", "work", "this project", "straightforward", "unit", "ratio"],
        "rows": rows,
        "text": [0, 1, 2, 3, 4],
    }


def further(records: dict[str, Record]) -> Table:
    """Numbers that are no comparison; those of a group in one cell."""
    rows = []
    for part, record in records.items():
        for name, value in record["values"].items():
            rows.append({"cells": [part, name, shown(value)], "own": True})
    return {
        "title": "Further numbers",
        "lead": [],
        "header": ["part", "what", "value"],
        "rows": rows,
        "text": [0, 1, 2],
    }


def shown(value: Any) -> str:
    """A value of a record as a cell: a number, a ratio with its range, or a group of them."""
    if isinstance(value, dict):
        if value.keys() == {"least", "median", "most"}:
            least, median, most = (number(value[key]) for key in ("least", "median", "most"))
            return f"{median} ({least}–{most})"
        return "; ".join(f"{name}: {shown(each)}" for name, each in value.items())
    return number(value) if isinstance(value, (int, float)) else str(value)


def scale(rows: dict[str, Record]) -> Table:
    """The scripts of LDA/ as the corpus grows."""
    cells = []
    for script in next(iter(rows.values()))["stages"] if rows else ():
        for articles, row in rows.items():
            stage = row["stages"][script]
            cpu = stage["cpu_seconds"]
            cells.append(
                [
                    script,
                    f"{int(articles):,}",
                    f"{row['words']:,}",
                    f"{stage['seconds']:,.0f}",
                    f"{cpu:,.0f}",
                    f"{1000 * cpu / int(articles):.1f}",
                    f"{stage['peak_mb']:,}",
                    f"{stage['main_peak_mb']:,}",
                    number(row["other_work"]),
                ]
            )
    lead = "One pass and two processes or threads. Other work: cores that other programs kept busy"
    lead += " meanwhile."
    header = ["script", "articles", "words", "seconds", "CPU seconds", "CPU ms per article"]
    header += ["peak MB of all", "main process", "other work"]
    return {
        "title": "The text half as the corpus grows",
        "lead": [lead],
        "header": header,
        "rows": [{"cells": row, "own": True} for row in cells],
        "text": [0],
    }


def runs(records: dict[str, Record], rows: dict[str, Record]) -> Table:
    """What each part ran on, and what else the machine did."""
    named = records | {f"{SCALE}, {int(articles):,}": row for articles, row in rows.items()}
    cells = []
    for name, record in named.items():
        machine, versions = record["hardware"], record["versions"]
        quick = ", --quick" if record.get("settings", {}).get("quick") else ""
        dirty = "-dirty" if record["commit"].endswith("-dirty") else ""
        cells.append(
            [
                name + quick,
                record["started"].replace("+00:00", "").replace("T", " "),
                f"{record['seconds']:,.0f}",
                f"{machine['cpu']}, {machine['cores']} cores, GPU {machine['gpu']}",
                " to ".join(f"{load:.1f}" for load in record["load"]),
                number(record["other_work"]),
                record["commit"][:12] + dirty,
                ", ".join(f"{library} {versions[library]}" for library in ("python", "torch")),
            ]
        )
    header = ["part", "started (UTC)", "seconds", "machine", "load", "other work", "commit"]
    return {
        "title": "The runs behind these numbers",
        "lead": [
            "Load: the machine's average of a minute, before and after, which counts the benchmark"
            " itself. Other work: cores that other programs kept busy meanwhile. All versions are"
            " in the records."
        ],
        "header": [*header, "versions"],
        "rows": [{"cells": row, "own": True} for row in cells],
        "text": [0, 1, 3, 4, 6, 7],
    }


def tables(folder: Path, names: list[str]) -> list[Table]:
    """Every table that the records in a folder give."""
    records, rows = load_all(folder, names), load_scale(folder)
    made = [compared(records), further(records), scale(rows), runs(records, rows)]
    return [table for table in made if table["rows"]]
