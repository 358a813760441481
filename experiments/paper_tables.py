"""A part of make_tables.py: the tables of the paper, its rows from paper.json and ours below them.

A table of paper.json has title, metric, split, command (which makes our row), tolerance (in the
unit of the numbers), ours (the paper's row that ours reproduces), columns [[name, header]], digits,
unit (of numbers that are not percent), note, and rows of {method, mark, confidence, values, note}.
`record` says where our numbers are (own_rows.py), unless a function here does.
"""

from own_rows import own_name, own_rows

from texttopicnet.tables import Table, percent

LAYERS = ("max5", "pool5", "fc6", "fc7")
NOT_RUN, UNKNOWN = "not run", "—"
REMEMBERED = (
    "R = as remembered, not checked against the paper's PDF, with the confidence; V = verified in a"
    " source; D = derived"
)


def number(value: float | None, digits: int = 1) -> str:
    """A number from the paper, which is in percent already."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def mark(row: dict) -> str:
    """The mark of a row of the paper; a remembered one with its confidence."""
    return f"R ({row['confidence']})" if row["mark"] == "R" else row["mark"]


def verdict(record: dict, value: float | None, expected: float | None, tolerance: float) -> str:
    """How a number of ours compares with the paper's, both in percent.

    Returns
    -------
    str
        OK within the tolerance, OK* within three times as much, else FAIL; "other data" unless the
        evaluation set is the paper's, and a dash where one of the numbers is missing or the net is
        untrained.
    """
    if not record["paper_set"]:
        return "other data"
    if value is None or expected is None or record.get("name") == "untrained":
        return UNKNOWN
    difference = abs(value - expected)
    rounding = 1e-9  # of the subtraction
    if difference <= tolerance + rounding:
        return "OK"
    return "OK*" if difference <= 3 * tolerance + rounding else "FAIL"


def worst(verdicts: list[str]) -> str:
    """The verdict of a row: that of its worst number."""
    known = [v for v in ("FAIL", "OK*", "OK", "other data") if v in verdicts]
    return known[0] if known else UNKNOWN


def paper_row(table: dict, method: str | None) -> dict:
    """The values of the paper's row of a method; empty without such a row."""
    rows = (row["values"] for row in table["rows"] if row["method"] == method)
    return next(rows, {})


def checked(table: dict, record: dict, values: dict[str, float | None], method: str | None) -> str:
    """The verdict of a row of ours; `values` are fractions or, in a table of counts, numbers."""
    expected = paper_row(table, method)
    scale = 1 if "unit" in table else 100
    return worst(
        [
            verdict(
                record,
                None if value is None else scale * value,
                expected.get(name),
                table["tolerance"],
            )
            for name, value in values.items()
        ]
    )


def lead(table: dict) -> list[str]:
    """The lines below a table: what was measured, how to make our row, and the marks."""
    row = f"the paper's {table['ours']}" if table["ours"] else "the row of the same name"
    check = (
        f" Check: OK within {table['tolerance']:g} of {row}, OK* within {3 * table['tolerance']:g},"
        " FAIL beyond; only where the evaluation set is the paper's."
    )
    note = f" The paper's rows: {table['note']}." if "note" in table else ""
    return [
        f"{table['metric']}. {table['split']}.{check}{note} {REMEMBERED}. Our row:"
        f" {table['command']}"
    ]


def own_svm(records: dict) -> dict[tuple[str, str], dict[str, dict]]:
    """{(name, difficult): {layer: record}} of the VOC2007 SVM records."""
    found = {}
    for r in records.values():
        if r["experiment"] == "voc2007_svm":
            found.setdefault((r["name"], r["difficult"]), {})[r["layer"]] = r
    return found


def not_run(width: int, after: int) -> dict:
    """Our row of a table that nobody has run: `width` numbers, then `after` other cells."""
    return {"cells": ["this project", *[NOT_RUN] * width, *[UNKNOWN] * after], "own": True}


def svm_layers(paper: dict, records: dict, only: str | None = None) -> Table:
    """Mean AP by layer: the paper's methods, then ours."""
    table = paper["tables"]["voc2007_svm_layers"]
    rows = []
    for r in table["rows"]:
        if not only or r["method"].startswith(only):
            numbers = [number(r["values"][b]) for b in LAYERS]
            cells = [f"paper: {r['method']}", *numbers, UNKNOWN, "VOC2007", mark(r), UNKNOWN]
            rows.append({"cells": cells, "own": False})
    svm = own_svm(records)
    for (name, difficult), layers in sorted(svm.items()):
        first = next(iter(layers.values()))
        values = {b: layers[b]["values"]["mean"]["area"] if b in layers else None for b in LAYERS}
        cells = [
            own_name(name, first, difficult),
            *(NOT_RUN if v is None else percent(v) for v in values.values()),
            percent(first["values"]["mean"]["chance"]),
            first["corpus"],
            "run",
            checked(table, first, values, table["ours"]),
        ]
        rows.append({"cells": cells, "own": True, "runs": list(layers.values())})
    if not svm:
        rows.append(not_run(len(LAYERS), 4))
    return {
        "title": "VOC2007 classification by linear SVM: mean AP by layer, percent",
        "lead": lead(table),
        "header": ["method", *LAYERS, "chance", "measured on", "mark", "check"],
        "rows": rows,
        "text": [0, 6, 7, 8],
    }


def svm_classes(paper: dict, records: dict) -> Table:
    """AP of each class, for every layer of ours."""
    table = paper["tables"]["voc2007_svm_classes"]
    own = {key: layers for key, layers in own_svm(records).items() if key[1] == "leave-out"}
    papers = list(table["rows"][0]["values"])
    ours = [c for layers in own.values() for r in layers.values() for c in r["values"]["classes"]]
    if set(ours) <= set(papers):
        ours = []  # the paper's order
    classes = list(dict.fromkeys([*ours, *papers]))  # ours first, where they need no scrolling
    rows = []
    for r in table["rows"]:
        numbers = [number(r["values"].get(c), 0) for c in classes]
        mean = number(r["derived"]["mean"])
        cells = [f"paper: {r['method']}", *numbers, mean, mark(r), UNKNOWN]
        rows.append({"cells": cells, "own": False})
    for (name, _), layers in sorted(own.items()):
        for layer in LAYERS:
            if layer in layers:
                values = layers[layer]["values"]
                scores = values["classes"]
                cells = [
                    f"this project, {name}, {layer}",
                    *(percent(scores[c]["area"], 0) if c in scores else UNKNOWN for c in classes),
                    percent(values["mean"]["area"]),
                    "run",
                    checked(
                        table,
                        layers[layer],
                        {c: score["area"] for c, score in scores.items()},
                        table["ours"],
                    ),
                ]
                rows.append({"cells": cells, "own": True, "runs": [layers[layer]]})
    if not own:
        rows.append(not_run(len(classes) + 1, 2))
    return {
        "title": "VOC2007 classification by linear SVM: AP of each class, percent",
        "lead": lead(table),
        "header": ["method", *classes, "mean", "mark", "check"],
        "rows": rows,
        "text": [0, len(classes) + 2, len(classes) + 3],
    }


def retrieval(paper: dict, records: dict, only: str | None = None) -> Table:
    """Mean AP of both directions: the paper's methods, ours in topic space, and the baselines."""
    table = paper["tables"]["wikipedia_retrieval"]
    names = [name for name, _ in table["columns"]]
    rows = []
    for r in table["rows"]:
        if not only or r["method"].startswith(only):
            method = f"paper: {r['method']}" + (
                " (supervised)" if "supervised" in r.get("note", "") else ""
            )
            numbers = [number(r["values"][d], 2) for d in names]
            cells = [method, *numbers, UNKNOWN, "Wikipedia, 693 pairs", mark(r), UNKNOWN]
            rows.append({"cells": cells, "own": False})
    own = [r for r in records.values() if r["experiment"] == "retrieval"]
    for r in own:
        kind = "trained" if r.get("lda", "corpus") == "corpus" else "trained, LDA of the set alone"
        values = {d: r["values"][d] for d in names}
        cells = [
            own_name(kind, r),
            *(percent(values[d], 2) for d in names),
            percent(r["values"]["chance"], 2),
            f"{r['corpus']}, {r['split']['pairs']} pairs",
            "run",
            checked(table, r, values, table["ours"]),
        ]
        rows.append({"cells": cells, "own": True, "runs": [r]})
    if not own:
        rows.append(not_run(3, 4))
    if not only:
        rows += baselines(table, records)
    headers = [header for _, header in table["columns"]]
    return {
        "title": "Retrieval in topic space: mean AP over all candidates, percent",
        "lead": lead(table),
        "header": ["method", *headers, "chance", "measured on", "mark", "check"],
        "rows": rows,
        "text": [0, 5, 6, 7],
    }


def baselines(table: dict, records: dict) -> list[dict]:
    """Rows of the baselines.

    They take other features than the paper's baselines, and so have no verdict in its table.
    """
    rows = []
    for r in records.values():
        if r["experiment"] == "retrieval_baselines":
            where = f"{r['corpus']}, {r['split']['pairs']} pairs"
            for method, found in r["values"]["methods"].items():
                dims = f"{r['dims']['image']} and {r['dims']['text']} numbers"
                cells = [
                    f"this project, baseline {method} (features of the set, {dims})",
                    *(percent(found[name], 2) for name, _ in table["columns"]),
                    percent(r["values"]["chance"], 2),
                    where,
                    "run",
                    "other features" if r["paper_set"] else "other data",
                ]
                rows.append({"cells": cells, "own": True, "runs": [r]})
    return rows


def generic(table: dict, records: dict) -> Table:
    """A table of paper.json with the rows that its `record` names."""
    names, headers = zip(*table["columns"], strict=True)
    is_percent = "unit" not in table
    digits = table.get("digits", 2 if is_percent else 0)
    rows = []
    for r in table["rows"]:
        numbers = [number(r["values"].get(name), digits) for name in names]
        cells = [f"paper: {r['method']}", *numbers, "the paper's", mark(r), UNKNOWN]
        rows.append({"cells": cells, "own": False})
    own = own_rows(table, records)
    for called, values, method, behind in own:
        r = behind[0]
        shown = percent if is_percent else number
        numbers = [
            NOT_RUN if values.get(name) is None else shown(values[name], digits) for name in names
        ]
        cells = [called, *numbers, r["corpus"], "run", checked(table, r, values, method)]
        rows.append({"cells": cells, "own": True, "runs": behind})
    if not own:
        rows.append(not_run(len(names), 3))
    text = [0, *range(len(names) + 1, len(names) + 4)]
    return {
        "title": table["title"] + (", percent" if is_percent else ""),
        "lead": lead(table),
        "header": ["method", *headers, "measured on", "mark", "check"],
        "rows": rows,
        "text": text,
    }


def facts(paper: dict) -> Table:
    """What is known of the paper beside its tables, each with its source."""
    rows = [
        {"cells": [f["figure"], f["value"], f["source"], mark(f)], "own": False}
        for f in paper["facts"]
    ]
    return {
        "title": "What is known of the paper beside its tables",
        "lead": [f"{REMEMBERED}."],
        "header": ["figure", "value", "source", "mark"],
        "rows": rows,
        "text": [0, 1, 2, 3],
    }


def tables(paper: dict, records: dict) -> list[Table]:
    """All tables, in the order of paper.json."""
    special = {
        "wikipedia_retrieval": retrieval,
        "voc2007_svm_layers": svm_layers,
        "voc2007_svm_classes": svm_classes,
    }
    found = [
        special[name](paper, records) if name in special else generic(table, records)
        for name, table in paper["tables"].items()
    ]
    return [*found, facts(paper)]
