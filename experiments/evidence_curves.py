"""The rows of evidence.py: their means over the seeds, as a table and as the plot."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from texttopicnet import atomic_files

COLOURS = {"topics": "#1f6fb2", "shuffled": "#b5402a"}
UNTRAINED, FINE_TUNED = "untrained", "fine-tuned"
TITLES = {"retrieval": "retrieval, both directions", FINE_TUNED: "fine-tuned, 10 crops"}


def measures(row: dict) -> dict[str, float]:
    """The scores of a row, by name: each layer's mean AP, fine-tuned with 10 crops, retrieval's
    average.
    """
    found = dict(row["svm"])
    if "fine_tuned" in row:
        found[FINE_TUNED] = row["fine_tuned"]["crops_10"]
    if "retrieval" in row:
        found["retrieval"] = row["retrieval"]["average"]
    return found


def means(rows: list[dict]) -> dict[tuple[str, int], dict[str, tuple[float, float, float]]]:
    """Scores by labels and iteration, over the seeds.

    Parameters
    ----------
    rows : list of dict
        labels, seed, iteration, svm {layer: mean AP}, and retrieval where it was measured.

    Returns
    -------
    dict
        {(labels, iteration): {score: (mean, least, most)}}.
    """
    groups = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, value in measures(row).items():
            groups[row["labels"], row["iteration"]][name].append(value)
    return {
        key: {name: (float(np.mean(v)), min(v), max(v)) for name, v in found.items()}
        for key, found in groups.items()
    }


def untrained(rows: list[dict]) -> list[dict]:
    """The rows of the untrained net, one per seed: the trainings of a seed start from the same
    weights.
    """
    first = {row["seed"]: row | {"labels": UNTRAINED} for row in rows if not row["iteration"]}
    return list(first.values())


def last(rows: list[dict]) -> int:
    """The last iteration that every run has reached; 0 if that is the first."""
    reached = defaultdict(set)
    for row in rows:
        reached[row["labels"], row["seed"]].add(row["iteration"])
    return max(set.intersection(*reached.values()))


def summary(rows: list[dict]) -> dict:
    """The values of the record: each kind of labels and the untrained net, at the last iteration
    that every run has reached.
    """
    found, end = means(rows), last(rows)
    labels = dict.fromkeys(row["labels"] for row in rows)
    values = {UNTRAINED: means(untrained(rows))[UNTRAINED, 0]}
    if end:
        values |= {name: found[name, end] for name in labels}
    return {
        "iteration": end,
        **{name: {k: v[0] for k, v in scores.items()} for name, scores in values.items()},
    }


def table(rows: list[dict]) -> str:
    """Mean AP in percent by labels and iteration, and over how many seeds, as Markdown."""
    rows = [*untrained(rows), *(row for row in rows if row["iteration"])]
    found = means(rows)
    seeds = defaultdict(set)
    for row in rows:
        seeds[row["labels"], row["iteration"]].add(row["seed"])
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    lines = [f"| labels | iteration | seeds | {' | '.join(names)} |"]
    lines += [f"| --- | ---: | ---: |{' ---: |' * len(names)}"]
    for (labels, iteration), scores in sorted(found.items(), key=lambda item: item[0][::-1]):
        cells = [f"{100 * scores[name][0]:.1f}" if name in scores else "not run" for name in names]
        of = f"{iteration} | {len(seeds[labels, iteration])}"
        lines.append(f"| {labels} | {of} | {' | '.join(cells)} |")
    return "\n".join(lines)


def block(record: dict) -> str:
    """A record as it stands in experiments/README.md: a title, the table, and what chance gives."""
    seeds = ", ".join(map(str, dict.fromkeys(row["seed"] for row in record["rows"])))
    chance = ", ".join(f"{name} {100 * value:.1f}" for name, value in record["chance"].items())
    if means_loss := record.get("loss_of_means"):
        chance += f"; held-out loss of the topics' means {means_loss:.2f}"
    return (
        f"**{record['net']}, `{record['solver']}`, recipe {record['recipe']}, seeds {seeds}: mean"
        f" AP in percent**\n\n{table(record['rows'])}\n\nChance: {chance}. {record['note']}."
    )


def trials(records: list[dict], reference: dict, seed: int) -> str:
    """Changes of a recipe beside the recipe itself, in percent, as Markdown.

    Parameters
    ----------
    records : list of dict
        One per change, with a net trained on topics with `seed`; its last iteration counts.
    reference : dict
        The record of the recipe itself, with rows at these iterations; its other seeds say how much
        chance there is in a number.
    seed : int
        Of the trainings that are compared.
    """

    def of_topics(record: dict, iteration: int) -> dict[int, dict]:
        rows = (r for r in record["rows"] if r["labels"] == "topics")
        return {r["seed"]: r for r in rows if r["iteration"] == iteration}

    def line(iteration: int, title: str, row: dict) -> str:
        scores = measures(row)
        cells = [f"{100 * scores[name]:.1f}" for name in names]
        loss = f"{row['held_out_loss']:.2f}"
        return f"| {iteration} | {title} | {loss} | {' | '.join(cells)} |"

    last_of = [max(row["iteration"] for row in record["rows"]) for record in records]
    names = [name for name in measures(reference["rows"][0]) if name != FINE_TUNED]
    lines = [f"| iteration | change of the recipe | held-out loss | {' | '.join(names)} |"]
    lines += [f"| ---: | --- | ---: |{' ---: |' * len(names)}"]
    for iteration in sorted(set(last_of)):
        found = of_topics(reference, iteration)
        for other in (seed, *(n for n in found if n != seed)):
            lines.append(line(iteration, f"none, seed {other}", found[other]))
        for record, last_one in zip(records, last_of, strict=True):
            if last_one == iteration:
                title = record["recipe"].removeprefix(f"{reference['recipe']}, ")
                lines.append(line(iteration, title, of_topics(record, iteration)[seed]))
    return "\n".join(lines)


def draw(record: dict, path: Path) -> None:
    """A panel per score over the iterations: a line for the mean over the seeds, a dot per run.

    Parameters
    ----------
    record : dict
        The result record of evidence.py.
    path : Path
        The PNG.
    """
    from matplotlib.figure import Figure

    rows, found = record["rows"], means(record["rows"])
    start = means(untrained(rows))[UNTRAINED, 0]
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    figure = Figure(figsize=(3.4 * len(names), 3.6), layout="constrained")
    for axes, name in zip(np.ravel(figure.subplots(1, len(names))), names, strict=True):
        for labels, colour in COLOURS.items():
            line = {
                iteration: 100 * scores[name][0]
                for (kind, iteration), scores in found.items()
                if kind == labels and name in scores
            }
            if not line:
                continue
            steps = sorted(line)
            axes.plot(steps, [line[i] for i in steps], color=colour, label=f"trained on {labels}")
            dots = [
                (row["iteration"], 100 * measures(row)[name])
                for row in rows
                if row["labels"] == labels and name in measures(row)
            ]
            axes.plot(*zip(*dots, strict=True), "o", color=colour, alpha=0.45, markersize=4)
        if name in start:
            level = 100 * start[name][0]
            axes.axhline(level, color="#9aa4ae", linestyle="--", linewidth=1, label=UNTRAINED)
        if name in record["chance"]:
            chance = 100 * record["chance"][name]
            axes.axhline(chance, color="#9aa4ae", linestyle=":", linewidth=1, label="chance")
        title = TITLES.get(name, f"SVM on {name}")
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("iteration")
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("mean AP, percent")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        frameon=False,
        ncols=4,
        loc="outside lower center",
    )
    with atomic_files.written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
