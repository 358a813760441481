"""Make the tables and the report page from the result records, beside the paper's numbers.

Reads:   experiments/paper.json, WORK/experiments/results/*.json; DATA/Wikipedia/ for the report's
         examples
Writes:  WORK/experiments/tables.md and report.html; with --readme only the part of README.md
         between its results marks
Paper:   all its tables (paper.json); a row that nobody has run reads "not run"
Usage:   python experiments/make_tables.py [--work DIR] [--results DIR] [--data DIR] [--force]
                                           [--readme FILE [--check]]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import base64
import re
from pathlib import Path

import cv2
import jinja2
import own_rows
import paper_tables
from report_figures import draw

from texttopicnet import artefacts, atomic_files, command_line, files, images, json_files, results
from texttopicnet.errors import UserError
from texttopicnet.tables import markdown, percent, runs, update_readme

HERE = Path(__file__).resolve().parent
MARKUP = re.compile(r"<[^>]*>|\[\[|\]\]|'{2,}|={2,}")


def readme_tables(paper: dict, records: dict) -> list[dict]:
    """The tables between the README's marks: the paper's own method and ours."""
    return [
        paper_tables.retrieval(paper, records, "TextTopicNet"),
        paper_tables.svm_layers(paper, records, "TextTopicNet"),
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
    svm = paper_tables.own_svm(records).items()
    svm = {name: own for (name, kind), own in svm if kind == "leave-out"}
    template = jinja2.Template(
        (HERE / "report.html.jinja").read_text(encoding="utf-8"), autoescape=True
    )
    return template.render(
        lead=lead,
        figures=draw(records, svm, paper_tables.LAYERS),
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
    paper = json_files.read(HERE / "paper.json", "git checkout experiments/paper.json")
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
    tables = [*paper_tables.tables(paper, records), *own_rows.other_sets(records), runs(records)]
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
