"""Make the tables and the report page from the result records, beside the paper's numbers.

Reads:   experiments/paper.json, WORK/experiments/results/*.json; for the report's examples
DATA/Wikipedia/ Writes:  WORK/experiments/tables.md and report.html; with --readme the part of
README.md between its results marks Paper:   the tables of VOC2007 SVMs, STL-10 and Wikipedia
retrieval Usage:   python experiments/make_tables.py [--work DIR] [--results DIR] [--data DIR]
[--force] [--readme FILE [--check]]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import base64
import io
import re
from pathlib import Path

import cv2
import jinja2

from texttopicnet import artefacts, atomic_files, command_line, files, images, json_files, results
from texttopicnet.errors import UserError
from texttopicnet.tables import markdown, percent, runs, update_readme

HERE = Path(__file__).resolve().parent
LAYERS = ("max5", "pool5", "fc6", "fc7")
DIRECTIONS = ("image_query", "text_query", "average")
NOT_RUN = "not run"
MARKUP = re.compile(r"<[^>]*>|\[\[|\]\]|'{2,}|={2,}")
REMEMBERED = "R = as remembered, not checked against the paper's PDF; V = verified in a source"


def number(value, digits=1):
    """A number of the paper's, which is in percent already."""
    return "—" if value is None else f"{value:.{digits}f}"


def own_svm(records):
    """{(name, difficult): {layer: record}} of the VOC2007 SVM records."""
    found = {}
    for r in records.values():
        if r["experiment"] == "voc2007_svm":
            found.setdefault((r["name"], r["difficult"]), {})[r["layer"]] = r
    return found


def own_name(name, record, difficult="leave-out"):
    """Whose number it is, what it was measured on, and how the net came about."""
    text = f"this project, {name} ({record['note'] or 'no note'})"
    return text + (
        "; difficult objects as positives, as the original" if difficult == "positive" else ""
    )


def svm_layers(paper, records, only=None):
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
            f"AP is the area under the curve (scikit-learn's average_precision_score). {REMEMBERED}."
        ],
        "header": ["method", *LAYERS, "chance", "measured on", "mark"],
        "rows": rows,
        "text": [0, 6, 7],
    }


def svm_classes(paper, records):
    """AP of each class, of the layer that the paper's table probably is (pool5)."""
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


def retrieval(paper, records, only=None):
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


def stl10(paper, records):
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


def readme_tables(paper, records):
    """What stands between the README's marks: the paper's own method and ours."""
    return [
        retrieval(paper, records, "TextTopicNet"),
        svm_layers(paper, records, "TextTopicNet"),
        runs(records),
    ]


def png(figure):
    """A matplotlib figure as base64 PNG."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=110, bbox_inches="tight")
    return base64.b64encode(held.getvalue()).decode()


def draw(records):
    """Figures of the report: [{'title', 'png', 'caption'}]."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    pyplot.rcParams.update(
        {
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "text.parse_math": False,
        }
    )
    blue, grey = "#1f6fb2", "#9aa4ae"
    figures = []

    def add(figure, title, caption):
        figures.append({"title": title, "png": png(figure), "caption": caption})
        pyplot.close(figure)

    for r in (r for r in records.values() if r["experiment"] == "training"):
        figure, axes = pyplot.subplots(figsize=(8, 3))
        axes.plot(*zip(*r["losses"], strict=True), color=blue)
        axes.set(xlabel="iteration", ylabel="loss", yscale="log")
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axes.grid(axis="y", which="both", color="#eaeef2")
        caption = f"Sigmoid cross-entropy, summed over topics, mean over the batch; {r['seconds']:.0f} s. {r['note']}"
        add(figure, "Training loss", caption)
    for r in (r for r in records.values() if r["experiment"] == "retrieval"):
        names = list(r["values"]["categories"])
        figure, axes = pyplot.subplots(figsize=(8, 3.2))
        for shift, direction, colour in ((-0.2, "image_query", blue), (0.2, "text_query", grey)):
            values = [100 * r["values"]["categories"][n][direction] for n in names]
            axes.bar(
                [i + shift for i in range(len(names))],
                values,
                0.38,
                color=colour,
                label=direction.replace("_", " "),
            )
        chance = 100 * r["values"]["chance"]
        axes.axhline(
            chance,
            color="#b5402a",
            linewidth=1,
            linestyle="--",
            label=f"chance, all pairs ({chance:.1f})",
        )
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        axes.set(ylabel="mean AP, percent", ylim=(0, 100))
        axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
        add(
            figure,
            "Retrieval by category",
            f"Mean AP over all candidates; {r['split']['pairs']} pairs. {r['note']}",
        )
    svm = {
        name: layers
        for (name, difficult), layers in own_svm(records).items()
        if difficult == "leave-out"
    }
    if svm:
        layers = [b for b in LAYERS if any(b in found for found in svm.values())]
        figure, axes = pyplot.subplots(figsize=(8, 3))
        for k, (name, colour) in enumerate((("trained", blue), ("untrained", grey))):
            for i, layer in enumerate(layers):
                if layer in svm.get(name, {}):
                    value = 100 * svm[name][layer]["values"]["mean"]["area"]
                    axes.bar(
                        i + 0.4 * k - 0.2, value, 0.38, color=colour, label=name if i == 0 else None
                    )
                    axes.text(i + 0.4 * k - 0.2, value + 1, f"{value:.1f}", ha="center")
        chance = 100 * next(iter(next(iter(svm.values())).values()))["values"]["mean"]["chance"]
        axes.axhline(
            chance, color="#b5402a", linewidth=1, linestyle="--", label=f"chance ({chance:.1f})"
        )
        axes.set_xticks(range(len(layers)), layers)
        axes.set(ylabel="mean AP, percent", ylim=(0, 100))
        axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
        add(
            figure,
            "VOC2007 SVM by layer",
            "Mean over the classes; the untrained net has the same fillers and seed.",
        )
    return figures


def examples(records, data):
    """The first images found for one text of each category, with pictures where the set is there."""
    rows, folder = [], data / "Wikipedia"
    try:
        for r in (r for r in records.values() if r["experiment"] == "retrieval"):
            for query in r.get("examples", []):
                found = []
                for image in query["images"]:
                    path = files.member(folder, f"images/{image['category']}/{image['id']}.jpg")
                    small = cv2.imencode(".jpg", images.resized(images.read_image(path), 128))[
                        1
                    ].tobytes()
                    jpeg = base64.b64encode(small).decode()
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


def report(tables, records, data):
    """The report page as HTML."""
    notes = sorted(
        {r["note"] for r in records.values() if r["note"] and r.get("name") != "untrained"}
    )
    lead = "; ".join(notes) or (
        "Results of this project's scripts." if records else "Nothing has been run yet."
    )
    template = jinja2.Template(
        (HERE / "report.html.jinja").read_text(encoding="utf-8"), autoescape=True
    )
    return template.render(
        lead=lead,
        figures=draw(records),
        tables=tables,
        examples=examples(records, data),
        examples_note="The first text (by id) of each category and the first six images for it; no choice was made.",
    )


def main():
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--work", "--data")
    parser.add_argument(
        "--results", type=Path, help="folder of records; default: WORK/experiments/results"
    )
    parser.add_argument(
        "--readme",
        type=Path,
        help="put the tables between this file's marks, and make nothing else",
    )
    parser.add_argument(
        "--check", action="store_true", help="with --readme: change nothing, fail where it differs"
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
    tables = [f(paper, records) for f in (retrieval, svm_layers, svm_classes, stl10)] + [
        runs(records)
    ]
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
