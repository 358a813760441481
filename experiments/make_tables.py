"""Make the tables and the report page from the result records, beside the paper's numbers.

Reads:   experiments/paper.json, WORK/experiments/results/*.json; DATA/Wikipedia/ for the report's
         examples
Writes:  WORK/experiments/tables.md and report.html; with --readme only the part of README.md
         between its results marks
Paper:   the tables of VOC2007 SVMs, STL-10 and Wikipedia retrieval
Usage:   python experiments/make_tables.py [--work DIR] [--results DIR] [--data DIR] [--force]
                                           [--readme FILE [--check]]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import base64
import re
from pathlib import Path

import cv2
import jinja2
from report_figures import draw

from texttopicnet import artefacts, atomic_files, command_line, files, images, json_files, results
from texttopicnet.errors import UserError
from texttopicnet.tables import markdown, percent, runs, update_readme

HERE = Path(__file__).resolve().parent
LAYERS = ("max5", "pool5", "fc6", "fc7")
DIRECTIONS = ("image_query", "text_query", "average")
NOT_RUN = "not run"
MARKUP = re.compile(r"<[^>]*>|\[\[|\]\]|'{2,}|={2,}")
REMEMBERED = "R = as remembered, not checked against the paper's PDF; V = verified in a source"


def number(value: float | None, digits: int = 1) -> str:
    """A number from the paper, which is in percent already."""
    return "—" if value is None else f"{value:.{digits}f}"


def own_svm(records: dict) -> dict[tuple[str, str], dict[str, dict]]:
    """{(name, difficult): {layer: record}} of the VOC2007 SVM records."""
    found = {}
    for r in records.values():
        if r["experiment"] == "voc2007_svm":
            found.setdefault((r["name"], r["difficult"]), {})[r["layer"]] = r
    return found


def own_name(name: str, record: dict, difficult: str = "leave-out") -> str:
    """The first cell of a row of ours: which net, and the record's note."""
    text = f"this project, {name} ({record['note'] or 'no note'})"
    return text + (
        "; difficult objects as positives, as the original" if difficult == "positive" else ""
    )


def svm_layers(paper: dict, records: dict, only: str | None = None) -> dict:
    """Mean AP by layer: the paper's methods, then ours."""
    rows = []
    for r in paper["voc2007_svm_layers"]["rows"]:
        if not only or r["method"].startswith(only):
            cells = [
                f"paper: {r['method']}",
                *(number(r["values"][b]) for b in LAYERS),
                "—",
                "VOC2007",
                r["mark"],
            ]
            rows.append({"cells": cells, "own": False})
    svm = own_svm(records)
    for (name, difficult), layers in sorted(svm.items()):
        first = next(iter(layers.values()))
        values = [
            percent(layers[b]["values"]["mean"]["area"]) if b in layers else NOT_RUN for b in LAYERS
        ]
        chance = percent(first["values"]["mean"]["chance"])
        rows.append(
            {
                "cells": [
                    own_name(name, first, difficult),
                    *values,
                    chance,
                    first["corpus"],
                    "run",
                ],
                "own": True,
            }
        )
    if not svm:
        rows.append(
            {"cells": ["this project", *[NOT_RUN] * len(LAYERS), "—", "—", "—"], "own": True}
        )
    return {
        "title": "VOC2007 classification by linear SVM: mean AP by layer, percent",
        "lead": [
            "AP is the area under the curve (scikit-learn's average_precision_score)."
            f" {REMEMBERED}."
        ],
        "header": ["method", *LAYERS, "chance", "measured on", "mark"],
        "rows": rows,
        "text": [0, 6, 7],
    }


def svm_classes(paper: dict, records: dict) -> dict:
    """AP of each class, for every layer of ours."""
    title = "VOC2007 classification by linear SVM: AP of each class, percent"
    paper_rows = paper["voc2007_svm_classes"]["rows"]
    own = {key: layers for key, layers in own_svm(records).items() if key[1] == "leave-out"}
    classes = list(paper_rows[0]["values"])
    for layers in own.values():
        for r in layers.values():
            classes += [c for c in r["values"]["classes"] if c not in classes]
    rows = []
    for r in paper_rows:
        cells = [
            f"paper: {r['method']}",
            *(number(r["values"].get(c), 0) for c in classes),
            r["mark"],
        ]
        rows.append({"cells": cells, "own": False})
    for (name, _), layers in sorted(own.items()):
        for layer in LAYERS:
            if layer in layers:
                scores = layers[layer]["values"]["classes"]
                cells = [
                    f"this project, {name}, {layer}",
                    *(percent(scores[c]["area"], 0) if c in scores else "—" for c in classes),
                ]
                rows.append({"cells": [*cells, "run"], "own": True})
    if not own:
        rows.append({"cells": ["this project", *[NOT_RUN] * len(classes), "—"], "own": True})
    lead = [f"The paper's rows: {paper['voc2007_svm_classes']['note']}. {REMEMBERED}."]
    return {
        "title": title,
        "lead": lead,
        "header": ["method", *classes, "mark"],
        "rows": rows,
        "text": [0],
    }


def retrieval(paper: dict, records: dict, only: str | None = None) -> dict:
    """Mean AP of both directions."""
    rows = []
    for r in paper["wikipedia_retrieval"]["rows"]:
        if not only or r["method"].startswith(only):
            method = f"paper: {r['method']}" + (
                " (supervised)" if "supervised" in r.get("note", "") else ""
            )
            cells = [
                method,
                *(number(r["values"][d], 2) for d in DIRECTIONS),
                "—",
                "Wikipedia, 693 pairs",
                r["mark"],
            ]
            rows.append({"cells": cells, "own": False})
    own = [r for r in records.values() if r["experiment"] == "retrieval"]
    for r in own:
        where = f"{r['corpus']}, {r['split']['pairs']} pairs"
        values = [percent(r["values"][d], 2) for d in (*DIRECTIONS, "chance")]
        rows.append({"cells": [own_name("trained", r), *values, where, "run"], "own": True})
    if not own:
        rows.append({"cells": ["this project", *[NOT_RUN] * 3, "—", "—", "—"], "own": True})
    return {
        "title": "Retrieval in topic space: mean AP over all candidates, percent",
        "lead": [f"{REMEMBERED}."],
        "header": [
            "method",
            "image query",
            "text query",
            "average",
            "chance",
            "measured on",
            "mark",
        ],
        "rows": rows,
        "text": [0, 5, 6],
    }


def stl10(paper: dict) -> dict:
    """STL-10 accuracy; this project has no record of it."""
    rows = [
        {
            "cells": [f"paper: {r['method']}", number(r["values"]["accuracy"], 2), r["mark"]],
            "own": False,
        }
        for r in paper["stl10"]["rows"]
    ]
    rows.append({"cells": ["this project", NOT_RUN, "—"], "own": True})
    lead = [f"{REMEMBERED}."]
    return {
        "title": "STL-10: accuracy, percent",
        "lead": lead,
        "header": ["method", "accuracy", "mark"],
        "rows": rows,
        "text": [0],
    }


def readme_tables(paper: dict, records: dict) -> list[dict]:
    """The tables between the README's marks: the paper's own method and ours."""
    return [
        retrieval(paper, records, "TextTopicNet"),
        svm_layers(paper, records, "TextTopicNet"),
        runs(records),
    ]


def examples(records: dict, data: Path) -> list[dict]:
    """The first images found for one text of each category; none if the set cannot be read."""
    rows, folder = [], data / "Wikipedia"
    try:
        for r in (r for r in records.values() if r["experiment"] == "retrieval"):
            for query in r.get("examples", []):
                found = []
                for image in query["images"]:
                    path = files.member(folder, f"images/{image['category']}/{image['id']}.jpg")
                    small = images.resized(images.read_image(path), 128)
                    jpeg = base64.b64encode(cv2.imencode(".jpg", small)[1].tobytes()).decode()
                    right = image["category"] == query["category"]
                    found.append({"jpeg": jpeg, "category": image["category"], "right": right})
                text = files.read_member(folder, f"texts/{query['text']}.xml").decode(
                    "utf-8", "replace"
                )
                words = " ".join(MARKUP.sub(" ", text).split())[:220] + " ..."
                rows.append(
                    {
                        "category": query["category"],
                        "ap": percent(query["ap"]),
                        "words": words,
                        "images": found,
                    }
                )
    except UserError as error:
        print(f"the report has no examples: {error}")
        return []
    return rows


def report(tables: list[dict], records: dict, data: Path) -> str:
    """The report page as HTML."""
    notes = sorted(
        {r["note"] for r in records.values() if r["note"] and r.get("name") != "untrained"}
    )
    lead = "; ".join(notes) or (
        "Results of this project's scripts." if records else "Nothing has been run yet."
    )
    svm = {name: own for (name, kind), own in own_svm(records).items() if kind == "leave-out"}
    template = jinja2.Template(
        (HERE / "report.html.jinja").read_text(encoding="utf-8"), autoescape=True
    )
    return template.render(
        lead=lead,
        figures=draw(records, svm, LAYERS),
        tables=tables,
        examples=examples(records, data),
        examples_note="The first text (by id) of each category and the first six images for it;"
        " no choice was made.",
    )


def main() -> int:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--work", "--data")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder of records (default: WORK/experiments/results)",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help="write only the tables between this file's marks",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="with --readme: change nothing; fail if the tables differ",
    )
    command_line.add_options(parser, "--force")
    args = parser.parse_args()

    folder = args.results or args.work / "experiments" / "results"
    paper = json_files.read(HERE / "paper.json", "git checkout experiments/paper.json")["tables"]
    records = results.load_all(folder)
    print(f"tables from {len(records)} records in {folder}")
    if args.readme:
        update_readme(
            args.readme,
            readme_tables(paper, records),
            folder,
            "python experiments/make_tables.py",
            args.check,
        )
        print(f"tables: {args.readme}")
        return 0
    outputs = [args.work / "experiments" / name for name in ("tables.md", "report.html")]
    for output in outputs:
        artefacts.refuse_existing(output, args.force)
    tables = [f(paper, records) for f in (retrieval, svm_layers, svm_classes)]
    tables += [stl10(paper), runs(records)]
    page = report(tables, records, args.data)
    with atomic_files.written_whole(*outputs) as (tables_path, report_path):
        tables_path.write_text(
            "\n".join(markdown(t) for t in tables), encoding="utf-8", errors="backslashreplace"
        )
        report_path.write_text(page, encoding="utf-8", errors="backslashreplace")
    print(f"tables: {outputs[0]}\nreport: {outputs[1]}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
