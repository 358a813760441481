"""Make the tables and the report page from the result records, beside the paper's numbers.

Reads:   experiments/paper.json, results/evidence/; WORK/experiments/results/*.json; for the figures
         WORK/LDA, WORK/CNN/<net>, WORK/experiments/features and DATA/Wikipedia
Writes:  WORK/experiments/tables.md, report.html (one file, all pictures included) and
         report_figures/ (each figure as PNG and SVG); with --readme only the part of README.md
         between its results marks
Paper:   all its tables (paper.json); a row that nobody has run reads "not run"
Usage:   python experiments/make_tables.py [--work DIR] [--results DIR] [--data DIR] [--net NAME]
                 [--topics N] [--force] [--readme FILE [--check]]

A figure whose inputs are missing is left out, and the page says what would make it.
"""

import texttopicnet.startup  # noqa: F401  isort: skip

from pathlib import Path

import own_rows
import paper_tables
import report_page

from texttopicnet import artefacts, atomic_files, command_line, json_files, results
from texttopicnet.errors import UserError
from texttopicnet.tables import markdown, runs, update_readme

HERE = Path(__file__).resolve().parent
NET, TOPICS = "CaffeNet", 40  # where no record says otherwise


def readme_tables(paper: dict, records: dict) -> list[dict]:
    """The tables between the README's marks: the paper's own method and ours."""
    return [
        paper_tables.retrieval(paper, records, "TextTopicNet"),
        paper_tables.svm_layers(paper, records, "TextTopicNet"),
        runs(records),
    ]


def check_folder(folder: Path) -> None:
    """UserError if the folder of the figures, which is replaced, holds anything else."""
    others = [
        path.name
        for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if path.suffix not in (".png", ".svg") or path.is_dir()
    ]
    if others:
        raise UserError(
            f"{folder} is replaced with the report, but holds {others[0]}, which is not a figure:"
            " move it away"
        )


def parse() -> "command_line.argparse.Namespace":
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data", "--work")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="folder of records (default: WORK/experiments/results)",
    )
    net = "folder of WORK/CNN (default: the net of the training's record, else CaffeNet)"
    command_line.add_options(parser, "--net", default=None, help=net)
    topics = "number of topics (default: that of the retrieval's record, else 40)"
    command_line.add_options(parser, "--topics", default=None, help=topics)
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
    command_line.add_options(parser, "--force", "--trust-pickle")
    return parser.parse_args()


def main() -> int:
    args = parse()
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
    names = ("tables.md", "report.html", report_page.FOLDER)
    outputs = [args.work / "experiments" / name for name in names]
    for output in outputs:
        artefacts.refuse_existing(output, args.force)
    check_folder(outputs[2])

    net = args.net or records.get("training", {}).get("corpus", NET)
    topics = args.topics or records.get("retrieval", {}).get("topics", TOPICS)
    source = report_page.Source(args.work, args.data, net, topics, args.trust_pickle)
    tables = [*paper_tables.tables(paper, records), *own_rows.other_sets(records)]
    found = report_page.sections(source, records, paper)
    images = report_page.drawings(found)
    first = report_page.glance(paper, records)
    page = report_page.page(tables, found, images, records, first)
    with atomic_files.written_whole(*outputs) as (tables_path, page_path, figures_path):
        text = "\n".join(markdown(t) for t in [*tables, runs(records, commands=True)])
        tables_path.write_text(text, encoding="utf-8", errors="backslashreplace")
        figures_path.mkdir()
        for name, image in images.items():
            (figures_path / f"{name}.png").write_bytes(image.png)
            (figures_path / f"{name}.svg").write_bytes(image.svg)
        page_path.write_text(page, encoding="utf-8", errors="backslashreplace")
    for title, why in report_page.left_out(found):
        print(f"left out of the report: {title}: {why}")
    print(f"tables: {outputs[0]}\nreport: {outputs[1]}\nfigures: {outputs[2]}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
