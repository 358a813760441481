"""Tables of the result records as Markdown, and the part of a README that holds them.

A table is a dict: title (str), lead (list of str: the lines below the table), header (list of str),
rows (list of {'cells': list of str, 'own': whether the number is this project's, and where it is
known 'runs': the records behind it}) and text (numbers of the columns that are aligned left).
"""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from texttopicnet import artefacts, atomic_files
from texttopicnet.errors import UserError

Table = dict[str, Any]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent; '—' for None."""
    return "—" if value is None else f"{100 * value:.{digits}f}"


def runs(records: dict[str, dict[str, Any]], commands: bool = False) -> Table:
    """The table of this project's runs: seed, commit, seconds, hardware and, with `commands`, the
    command of each.
    """
    rows = []
    for name, r in records.items():
        hardware = (
            f"{r['hardware']['cpu']}, {r['hardware']['cores']} cores, GPU {r['hardware']['gpu']}"
        )
        seeds = r["seed"] if isinstance(r["seed"], list) else [r["seed"]]
        seed = ", ".join("—" if s is None else str(s) for s in seeds)
        cells = [
            name,
            seed,
            r["commit"][:12] + ("-dirty" if r["commit"].endswith("-dirty") else ""),
        ]
        cells += [f"{r['seconds']:.0f}", hardware, r["note"]]
        cells += [r.get("command", "not recorded")] if commands else []
        rows.append({"cells": cells, "own": True})
    header = ["record", "seed", "commit", "seconds", "hardware", "note"]
    header += ["command"] if commands else []
    return {
        "title": "The runs behind these numbers",
        "lead": [],
        "header": header,
        "rows": rows,
        "text": [0, 2, 4, 5, 6],
    }


def escaped(text: str) -> str:
    """Markdown that shows `text` unchanged; records may hold bars, newlines, HTML or links."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"[\\|`*\[\]]", r"\\\g<0>", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(table: Table) -> str:
    """A table as GitHub Markdown, with its title and lead; all text is escaped."""
    aligned = ["---" if i in table["text"] else "---:" for i in range(len(table["header"]))]
    rows = [
        map(escaped, table["header"]),
        aligned,
        *(map(escaped, row["cells"]) for row in table["rows"]),
    ]
    lines = [f"**{escaped(table['title'])}**", "", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join([*lines, "", *map(escaped, table["lead"])]).rstrip() + "\n"


def with_tables(text: str, tables: list[Table], path: Path) -> str:
    """`text` with `tables` between its marks; UserError if a mark is missing."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise UserError(
            f"{path} must hold {BEGIN} and {END} once each: put them where the tables belong"
        )
    part = f"{BEGIN}\n\n" + "\n".join(map(markdown, tables)) + f"\n{END}"
    return text[: text.index(BEGIN)] + part + text[text.index(END) + len(END) :]


def update_readme(
    path: Path, tables: list[Table], folder: Path, command: str, check: bool = False
) -> None:
    """Put tables between a README's marks.

    Parameters
    ----------
    path : Path
        Holds BEGIN and END once each.
    tables : list of dict
    folder : Path
        The records' folder.
    command : str
        The command that makes the tables, for the error's sentence.
    check : bool
        Compare only, and change nothing.

    Raises
    ------
    UserError
        A mark is missing, or, with `check`, the README holds other tables.
    """
    before = artefacts.existing(path, "git checkout").read_text(encoding="utf-8")
    after = with_tables(before, tables, path)
    if check and before != after:
        remedy = f"{command} --results {folder} --readme {path}"
        raise UserError(f"the tables in {path} are not those of {folder}: run {remedy}")
    if before != after:
        with atomic_files.written_whole(path) as temporary:
            temporary.write_text(after, encoding="utf-8", errors="backslashreplace")


def plain(header: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """A table for a terminal: columns of equal width, those in `right` aligned right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])

    def cell(i: int, text: str) -> str:
        return text.rjust(widths[i]) if i in right else text.ljust(widths[i])

    return "\n".join("  ".join(cell(i, t) for i, t in enumerate(line)).rstrip() for line in lines)
