"""Make the tables of LDA/README.md: text-to-text retrieval, label distribution, number of topics.

Reads:   experiments/results/text/*.json (--results names another folder)
Writes:  the part of LDA/README.md between its results marks (--readme names another file)
Paper:   none of its tables
Usage:   python experiments/make_text_tables.py [--results DIR] [--readme FILE] [--check]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

from pathlib import Path

from texttopicnet import artefacts, command_line, results
from texttopicnet.errors import UserError
from texttopicnet.tables import percent, runs, update_readme

COLUMNS = {
    "non_zero": ("topics above 0", 2),
    "median_non_zero": ("their median", 0),
    "sum": ("sum", 3),
    "largest": ("largest", 3),
    "entropy": ("entropy, nats", 2),
    "least_topic": ("least topic mean", 4),
    "most_topic": ("most topic mean", 4),
    "distinct_words": ("distinct words per document", 0),
}


def row_name(row: dict) -> str:
    """What a row's vectors are, such as 'lda, passes 20'."""
    passes = row["passes"]
    return row["embedding"] + (f", passes {passes}" if passes else "")


def spread(values: list[float], digits: int) -> str:
    """Mean of some numbers, and their range if there are several."""
    mean, least, most = (
        f"{value:.{digits}f}" for value in (sum(values) / len(values), min(values), max(values))
    )
    return mean + (f" ({least}–{most})" if len(values) > 1 else "")


def retrieval(record: dict) -> dict:
    """Mean AP of each embedding by each measure."""
    rows, measures = (
        record["values"]["rows"],
        list(dict.fromkeys(row["measure"] for row in record["values"]["rows"])),
    )
    scores = {}
    for row in rows:
        scores.setdefault(row_name(row), {})[row["measure"]] = spread(
            [100 * ap for ap in row["seeds"].values()], 1
        )
    cells = [
        [name, *(found.get(measure, "—") for measure in measures)] for name, found in scores.items()
    ]
    cells.append(["chance", *[percent(record["values"]["chance"])] * len(measures)])
    tokens, split = record["tokens"], record["split"]
    return {
        "title": f"Text-to-text retrieval, {record['name']}: mean AP over all other texts, percent",
        "lead": [
            f"Measured on {record['corpus']}: {split['texts']} texts of {tokens['text']:.0f} tokens"
            f" on average. {record['topics']} numbers per text, {record['note']}:"
            f" {split['learnt from']} articles of {tokens['article']:.0f} tokens,"
            f" {record['words']} words in the dictionary. Mean over the seeds (least–most)."
        ],
        "header": ["embedding", *measures],
        "rows": [{"cells": row, "own": True} for row in cells],
        "text": [0],
    }


def categories(record: dict) -> dict:
    """Mean AP of each category's queries, by cosine."""
    rows = [row for row in record["values"]["rows"] if row["measure"] == "cosine"]
    names = list(rows[0]["categories"])
    return {
        "title": f"The same by category, {record['name']}: by cosine, percent",
        "lead": [],
        "header": ["embedding", *names],
        "rows": [
            {
                "cells": [row_name(row), *(percent(row["categories"][c], 0) for c in names)],
                "own": True,
            }
            for row in rows
        ],
        "text": [0],
    }


def distribution(record: dict) -> dict:
    """The label files side by side."""
    rows = [
        {
            "cells": [name, f"{record['split'][name]:,}"]
            + [
                f"{found[key]:.{digits}f}" if key in found else "—"
                for key, (_, digits) in COLUMNS.items()
            ],
            "own": True,
        }
        for name, found in record["values"].items()
    ]
    return {
        "title": "Distribution of the labels: means over the images",
        "lead": [
            "Entropy is computed from the vector in the file, which is not normalised to sum 1."
        ],
        "header": ["labels", "number", *(title for title, _ in COLUMNS.values())],
        "rows": rows,
        "text": [0],
    }


def number_of_topics(name: str, record: dict) -> dict:
    """Perplexity and coherence of each number of topics."""
    models, split = record["models"], record["split"]
    rows = []
    for k in sorted({model["topics"] for model in models}):
        own = [model for model in models if model["topics"] == k]
        measured = [
            spread([model[what] for model in own], digits)
            for what, digits in (("perplexity", 0), ("coherence", 3))
        ]
        rows.append({"cells": [str(k), *measured], "own": True})
    return {
        "title": f"The number of topics, {name.removeprefix('choose_topics_')}",
        "lead": [
            f"Learnt from {split['learning_documents']:,} documents,"
            f" passes {record['settings']['passes']}; perplexity on"
            f" {split['held_out_articles']:,} other articles, coherence on"
            f" {split['coherence_articles']:,} articles. Mean over the seeds (least–most)."
        ],
        "header": ["topics", "held-out perplexity", "c_v coherence"],
        "rows": rows,
        "text": [],
    }


def seeded(record: dict) -> dict:
    """A record whose seed is the list of its models' seeds, if it has models."""
    seeds = sorted({model["seed"] for model in record.get("models", [])})
    return record | {"seed": seeds} if seeds else record


def tables(records: dict) -> list[dict]:
    """Every table that the records give."""
    found = []
    for record in records.values():
        if record["experiment"] == "text_to_text_retrieval":
            found += [retrieval(record), categories(record)]
    found += [
        distribution(record)
        for record in records.values()
        if record["experiment"] == "label_distribution"
    ]
    found += [
        number_of_topics(name, record)
        for name, record in records.items()
        if record["experiment"] == "choose_topics"
    ]
    return [*found, runs({name: seeded(record) for name, record in records.items()})]


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--results",
        type=Path,
        default=artefacts.ROOT / artefacts.RESULTS / "text",
        metavar="DIR",
        help="folder of records (default: experiments/results/text)",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        default=artefacts.ROOT / "LDA" / "README.md",
        metavar="FILE",
        help="file whose tables are replaced (default: LDA/README.md)",
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if the tables differ"
    )
    args = parser.parse_args()

    records = results.load_all(args.results)
    if not records:
        raise UserError(
            f"{args.results} holds no records: make them with bash scripts/text_records.sh"
        )
    print(f"tables from {len(records)} records in {args.results}")
    update_readme(
        args.readme,
        tables(records),
        args.results,
        "python experiments/make_text_tables.py",
        args.check,
    )
    print(f"tables: {args.readme}")


if __name__ == "__main__":
    command_line.run(main)
