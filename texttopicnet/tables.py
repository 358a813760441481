"""Tables of the result records as Markdown, and the part of a README that is made of them.

A table is a dict: title (str), lead (list of str: the lines below it), header (list of str), rows
(list of {'cells': list of str, 'own': whether the number is this project's}) and text (the columns
that are aligned left).
"""

import re

from texttopicnet import artefacts, atomic_files
from texttopicnet.errors import UserError

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def percent(value, digits=1):
    """A fraction as percent, '—' for None."""
    return "—" if value is None else f"{100 * value:.{digits}f}"


def runs(records):
    """What each number of ours took: seed, commit, seconds, hardware."""
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
        rows.append({"cells": [*cells, f"{r['seconds']:.0f}", hardware, r["note"]], "own": True})
    header = ["record", "seed", "commit", "seconds", "hardware", "note"]
    return {
        "title": "The runs behind these numbers",
        "lead": [],
        "header": header,
        "rows": rows,
        "text": [0, 2, 4, 5],
    }


def escaped(text):
    """Text as Markdown that shows it as it is: notes and names of records may hold bars, newlines,
    HTML or links.
    """
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"[\\|`*\[\]]", r"\\\g<0>", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(table):
    """A table as GitHub Markdown, with its title and lead; every text in it is escaped."""
    aligned = ["---" if i in table["text"] else "---:" for i in range(len(table["header"]))]
    rows = [
        map(escaped, table["header"]),
        aligned,
        *(map(escaped, row["cells"]) for row in table["rows"]),
    ]
    lines = [f"**{escaped(table['title'])}**", "", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join([*lines, "", *map(escaped, table["lead"])]).rstrip() + "\n"


def with_tables(text, tables, path):
    """`text` with what stands between its marks replaced by `tables`; UserError where a mark is
    missing.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise UserError(
            f"{path} must hold {BEGIN} and {END} once each: put them where the tables belong"
        )
    part = f"{BEGIN}\n\n" + "\n".join(map(markdown, tables)) + f"\n{END}"
    return text[: text.index(BEGIN)] + part + text[text.index(END) + len(END) :]


def update_readme(path, tables, folder, command, check=False):
    """Put tables between a README's marks.

    Parameters
    ----------
    path : Path
        Holds BEGIN and END once each.
    tables : list of dict
    folder : Path
        Of the records the tables are made from.
    command : str
        Makes the tables, for the error's sentence.
    check : bool
        Change nothing.

    Raises
    ------
    UserError
        A mark is missing, or with `check` other tables stand there.
    """
    before = artefacts.existing(path, "git checkout").read_text(encoding="utf-8")
    after = with_tables(before, tables, path)
    if check and before != after:
        remedy = f"{command} --results {folder} --readme {path}"
        raise UserError(f"the tables in {path} are not those of {folder}: run {remedy}")
    if before != after:
        with atomic_files.written_whole(path) as temporary:
            temporary.write_text(after, encoding="utf-8", errors="backslashreplace")
