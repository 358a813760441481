"""A part of make_tables.py: the report as one HTML page, and its figures as files."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import report_examples
import report_figures
import report_svm
import report_training
from paper_tables import LAYERS, checked, mark, number, own_svm, paper_row
from report_drawing import Drawn, Images, LeftOut, images_of, inline

from texttopicnet import artefacts, results
from texttopicnet.errors import UserError
from texttopicnet.tables import Table, percent

TEMPLATE = Path(__file__).resolve().parent / "report.html.jinja"
FOLDER = "report_figures"  # beside the page
EVIDENCE = "results/evidence"  # the project's own records, beside those of the work folder


@dataclass(frozen=True)
class Section:
    """A heading of the page with its figures."""

    title: str
    figures: list[Drawn | LeftOut]


@dataclass(frozen=True)
class Source:
    """Where the report's inputs are.

    Attributes
    ----------
    work, data : Path
    net : str
        Folder below WORK/CNN.
    topics : int
    trust : bool
        Whether pickles may run code (`TopicModel.load`).
    """

    work: Path
    data: Path
    net: str
    topics: int
    trust: bool


def in_project(text: str) -> str:
    """A sentence whose paths are relative to the project's folder."""
    return text.replace(f"{artefacts.ROOT}/", "")


def sections(source: Source, records: dict, paper: dict) -> list[Section]:
    """All figures of the report, and what would make those that are missing."""
    svm = {name: own for (name, kind), own in own_svm(records).items() if kind == "leave-out"}
    training = report_figures.of_experiment(records, "training")
    retrievals = report_figures.of_experiment(records, "retrieval")
    corpus = [r for r in retrievals if r.get("lda", "corpus") == "corpus"]
    retrieval = corpus[0] if corpus else None
    folder = source.work / "CNN" / source.net
    curves = report_training.read_curves(folder / "trained.log", training[0] if training else None)
    return [
        Section(
            "What the net has learnt",
            [
                report_examples.topics(
                    source.work, source.data, source.topics, source.trust, corpus[:1]
                ),
                report_training.filters(folder, training[:1]),
            ],
        ),
        Section("Training", report_figures.training(curves, records)),
        Section(
            "Retrieval",
            [
                report_figures.retrieval(records),
                report_examples.retrieval(retrieval, source.data, "image_query"),
                report_examples.retrieval(retrieval, source.data, "text_query"),
            ],
        ),
        Section(
            "Classification",
            [
                report_svm.by_layer(svm, LAYERS),
                report_svm.by_class(svm, LAYERS, paper),
                *evidence(records),
                report_figures.topic_numbers(records),
            ],
        ),
    ]


def evidence(records: dict) -> list[Drawn | LeftOut]:
    """SVMs against iterations, a figure per record of evidence.py: the work folder's, and the
    project's own.
    """
    try:
        own = results.load_all(artefacts.ROOT / "experiments" / EVIDENCE)
    except UserError as error:
        print(f"the report leaves the project's evidence out: {error}")
        own = {}
    found = [
        (n, r) for n, r in (own | records).items() if r["experiment"] == "evidence" and r["rows"]
    ]
    if not found:
        why = "There is no record of it: python experiments/evidence.py makes one."
        return [LeftOut("evidence", "SVM mean AP against iterations", why)]
    return [report_figures.evidence(f"evidence_{i}", r) for i, (_, r) in enumerate(found, 1)]


def glance(paper: dict, records: dict) -> Table:
    """The main numbers: ours trained and untrained, chance, and the paper's."""
    rows = []
    table = paper["tables"]["wikipedia_retrieval"]
    trained = next(
        (
            r
            for r in report_figures.of_experiment(records, "retrieval")
            if r.get("lda", "corpus") == "corpus"
        ),
        None,
    )
    rows.append(line("retrieval, average", table, "average", trained, None, "average"))
    table = paper["tables"]["voc2007_svm_layers"]
    svm = own_svm(records)
    for layer in LAYERS:
        nets = (svm.get((name, "leave-out"), {}).get(layer) for name in artefacts.NETS)
        rows.append(line(f"VOC2007, SVM on {layer}", table, layer, *nets, "mean.area"))
    return {
        "title": "Mean AP, percent",
        "lead": [
            "Compare a number with the paper's only where the check is not “other data”. R: as"
            " remembered, not checked against the paper's PDF, with the confidence."
        ],
        "header": ["", "trained", "untrained", "chance", "paper", "mark", "check"],
        "rows": rows,
        "text": [0, 5, 6],
    }


def line(
    name: str, table: dict, column: str, trained: dict | None, untrained: dict | None, path: str
) -> dict:
    """A row of `glance`; `path` leads to the number in the values, with chance beside it."""
    *above, key = path.split(".")

    def at(r: dict | None, entry: str) -> float | None:
        values = r and r["values"]
        for step in above:
            values = values and values[step]
        return values and values.get(entry)

    row = next(row for row in table["rows"] if row["method"] == table["ours"])
    value, own = at(trained, key), [r for r in (trained, untrained) if r]
    cells = [
        name,
        "not run" if value is None else percent(value),
        percent(at(untrained, key)),
        percent(next((at(r, "chance") for r in own), None)),
        number(paper_row(table, table["ours"]).get(column), 1),
        mark(row),
        checked(table, trained, {column: value}, table["ours"]) if trained else "—",
    ]
    return {"cells": cells, "own": bool(own), "runs": own}


def trainings(records: dict) -> list[tuple[str, int]]:
    """The notes of the records, which say what was trained, with how many records each has."""
    notes = [r["note"] for r in records.values() if r["note"]]
    return [(note, notes.count(note)) for note in dict.fromkeys(notes)]


def run_of(name: str, r: dict) -> dict:
    """What the page shows of a record."""
    seeds = r["seed"] if isinstance(r["seed"], list) else [r["seed"]]
    hardware = r["hardware"]
    gpu = hardware["gpu"]
    commit, _, dirty = r["commit"].partition("-")
    return {
        "name": name,
        "command": r.get("command"),
        "seed": ", ".join("—" if seed is None else str(seed) for seed in seeds),
        "commit": commit[:12] + (f"-{dirty}" if dirty else ""),
        "seconds": f"{r['seconds']:.1f}",
        "hardware": f"{hardware['cpu']}, {hardware['cores']} cores"
        + (f", {gpu}" if gpu != "none" else ", no GPU"),
        "note": r["note"],
    }


def drawings(found: list[Section]) -> dict[str, Images]:
    """Every figure that can be drawn, by its name."""
    figures = (figure for section in found for figure in section.figures)
    return {figure.name: images_of(figure) for figure in figures if isinstance(figure, Drawn)}


def page(
    tables: list[Table],
    found: list[Section],
    images: dict[str, Images],
    records: dict,
    first: Table,
) -> str:
    """The report as HTML.

    Parameters
    ----------
    tables : list of dict
        Their rows may have 'runs', the records behind them.
    found : list of Section
    images : dict
        Of `drawings`.
    records : dict
        {name: record} of the results.
    first : dict
        The table at the top.
    """
    shown = list(records.items())
    for section in found:  # the project's own evidence is not among the results
        for figure in section.figures:
            for r in getattr(figure, "records", []):
                if not any(r is other for _, other in shown):
                    shown.append((f"{r['experiment']} (with the project)", r))
    place = {id(r): i for i, (_, r) in enumerate(shown, 1)}
    runs = [run_of(name, r) for name, r in shown]

    def links(some: Iterable[dict]) -> list[tuple[int, dict]]:
        """Number and run of records, in the order of the list of runs."""
        numbers = sorted({place[id(r)] for r in some if id(r) in place})
        return [(i, runs[i - 1]) for i in numbers]

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        sections=found,
        tables=tables,
        first=first,
        trainings=trainings(records),
        records=records,
        runs=runs,
        links=links,
        images=images,
        inline=inline,
        in_project=in_project,
        folder=FOLDER,
        first_rows=report_examples.FIRST_TOPICS,
    )


def left_out(found: list[Section]) -> list[tuple[str, str]]:
    """(title, why) of the figures that could not be drawn."""
    figures = (figure for section in found for figure in section.figures)
    return [(figure.title, figure.why) for figure in figures if isinstance(figure, LeftOut)]
