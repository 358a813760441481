"""A part of make_tables.py: our rows of a table, found in the records.

A table's `record` is a dict, or a list of them:

    experiment     of the records
    match          {entry: value} that a record must have besides
    columns        {column: path in the values, such as "mean.area"}
    rows           instead of columns: the path of a dict with one row per method
    compared_with  {method of the record: the paper's row}; the table's `ours` without it
    by             instead of columns: the entry that names the column; the records of a net make
                   one row, with the numbers at `value`
"""

from collections.abc import Iterator

from texttopicnet.tables import Table, percent

Row = tuple[str, dict, str | None, list[dict]]


def own_name(name: str, record: dict, difficult: str = "leave-out") -> str:
    """The first cell of a row of ours: which net, and the record's note."""
    text = f"this project, {name} ({record['note'] or 'no note'})"
    return text + (
        "; difficult objects as positives, as the original" if difficult == "positive" else ""
    )


def at(values: dict, path: str) -> float | dict | None:
    """The entry of nested dicts at a path such as ``"mean.area"``; None if it is missing."""
    for key in path.split("."):
        if not isinstance(values, dict) or key not in values:
            return None
        values = values[key]
    return values


def own_rows(table: dict, records: dict) -> list[Row]:
    """Our rows of a table that has a `record`.

    Returns
    -------
    list of (str, dict, str or None, list of dict)
        What the row is called, its numbers by column, the method of the paper that it is compared
        with, and its records.
    """
    given = table.get("record") or []
    found = []
    for where in given if isinstance(given, list) else [given]:
        matching = [r for r in records.values() if matches(r, where)]
        rows = by_column(table, where, matching) if "by" in where else each(table, where, matching)
        found += rows
    return found


def matches(record: dict, where: dict) -> bool:
    """Whether a record is one of those that `where` names."""
    needed = {"experiment": where["experiment"]} | where.get("match", {})
    return all(record.get(key) == value for key, value in needed.items())


def each(table: dict, where: dict, matching: list[dict]) -> Iterator[Row]:
    """A row per record, or one per method in it."""
    for r in matching:
        if "rows" in where:
            for method, row in (at(r["values"], where["rows"]) or {}).items():
                values = {name: row.get(name) for name, _ in table["columns"]}
                yield f"this project, {method}", values, method, [r]
            continue
        values = {name: at(r["values"], path) for name, path in where["columns"].items()}
        called, compared = own_name(r.get("name", "trained"), r), table["ours"]
        if "compared_with" in where:
            called = own_name(f"{r['name']}, {r['method']}", r)
            compared = where["compared_with"].get(r["method"])
        yield called, values, compared, [r]


def by_column(table: dict, where: dict, matching: list[dict]) -> Iterator[Row]:
    """A row per net, whose columns are records of their own."""
    names = {name for name, _ in table["columns"]}
    nets: dict[str, dict[str, dict]] = {}
    for r in matching:
        if r[where["by"]] in names:
            nets.setdefault(r["name"], {})[r[where["by"]]] = r
    for name, columns in nets.items():
        first = next(iter(columns.values()))
        values = {column: at(r["values"], where["value"]) for column, r in columns.items()}
        yield own_name(name, first), values, table["ours"], list(columns.values())


def other_sets(records: dict) -> list[Table]:
    """Sets with a class per image that the paper does not have; no table without such a record."""
    rows = []
    for r in records.values():
        if r["experiment"] == "image_classification" and r["corpus"] not in ("stl10", "sun397"):
            accuracy = r["values"]["accuracy"]
            numbers = [accuracy["mean"], accuracy["std"], r["values"]["chance"]]
            called = own_name(f"{r['name']}, {r['method']}", r)
            split = r["split"]
            sizes = f"{split['folds']} folds of {split['train']} + {split['test']} images"
            cells = [called, *map(percent, numbers), f"{r['corpus']}, {sizes}"]
            rows.append({"cells": cells, "own": True, "runs": [r]})
    if not rows:
        return []
    return [
        {
            "title": "Other sets with one class per image: accuracy, percent",
            "lead": ["Mean and standard deviation over the folds; fine-tuned nets with 10 crops."],
            "header": ["method", "accuracy", "deviation", "chance", "measured on"],
            "rows": rows,
            "text": [0, 4],
        }
    ]
