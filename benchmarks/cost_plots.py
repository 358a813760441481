"""Plots of cost against size, from the records: corpus.svg and images.svg."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from texttopicnet import atomic_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, THEIRS = "#0b6e99", "#b5651d"
# part: title, what the sizes count, unit of the cost, and what the record's times are multiplied
# by for each of the size; None if they are the cost already
PANELS = {
    "tokens": ("Tokens", "articles", "s", 1 / 1000),
    "topics": ("Topics", "articles", "s per pass", 1 / 1000),
    "labels": ("Labels", "articles", "s", 1 / 1000),
    "lmdb": ("LMDBs", "images", "s", 1 / 1000),
    "training": ("Training of CaffeNet", "images per batch", "s per iteration", None),
    "svm": ("SVMs", "images", "s per class", None),
    "retrieval": ("Retrieval, both ways", "pairs", "s", 2 / 1000),
}
FIGURES = {
    "corpus": ("tokens", "topics", "labels"),
    "images": ("lmdb", "training", "svm", "retrieval"),
}
STAGES = {
    "generate_train_dict.py": "#7a7a7a",
    "learn_LDA_model.py": OURS,
    "generate_train_labels.py": THEIRS,
}


def curve(axes: Axes, sizes: list[int], times: list[np.ndarray], name: str, colour: str) -> None:
    """Medians over the rounds as a line, with the least and the most as bars."""
    medians = [np.median(each) for each in times]
    spread = [
        [median - each.min() for median, each in zip(medians, times, strict=True)],
        [each.max() - median for median, each in zip(medians, times, strict=True)],
    ]
    axes.errorbar(
        sizes, medians, yerr=spread, color=colour, marker="o", markersize=4, capsize=3, label=name
    )


def finish(axes: Axes, title: str, counted: str, unit: str, sizes: list[int]) -> None:
    """Scales, names and the legend of a panel."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    axes.set(title=title, xlabel=counted, ylabel=unit, xscale="log", yscale="log")
    least, most = axes.get_ylim()
    decades = np.log10(most / least)
    marks = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2.5 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=marks, numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize="small")
    axes.minorticks_off()
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize="small")


def compared(axes: Axes, part: str, record: dict[str, Any]) -> None:
    """The panel of a part: both sides of its comparisons."""
    title, counted, unit, each = PANELS[part]
    rows = sorted(record["comparisons"], key=lambda row: row["size"])
    for side, colour in (("ours", OURS), ("theirs", THEIRS)):
        times = [
            np.array(row["times"][row[side]]) * (1 if each is None else each * row["size"])
            for row in rows
        ]
        curve(axes, [row["size"] for row in rows], times, rows[0][side], colour)
    finish(axes, title, counted, unit, [row["size"] for row in rows])


def stages(axes: Axes, rows: dict[str, Any]) -> None:
    """The panel of the scripts of LDA/, as the corpus grows."""
    sizes = [int(articles) for articles in rows]
    for script, colour in STAGES.items():
        times = [np.array([row["stages"][script]["cpu_seconds"]]) for row in rows.values()]
        curve(axes, sizes, times, script, colour)
    finish(axes, "The scripts of LDA/", "articles", "CPU s", sizes)


def draw(records: dict[str, Any], rows: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the figures whose records exist.

    Parameters
    ----------
    records : dict
        {part: record}.
    rows : dict
        {number of articles: row} of scale_text.py; may be empty.
    folder : Path
        Where corpus.svg and images.svg go.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn = []
    for name, parts in FIGURES.items():
        panels = [(compared, part, records[part]) for part in parts if part in records]
        if name == "corpus" and rows:
            panels.append((stages, rows))
        if not panels:
            continue
        columns = min(len(panels), 2)
        height = -(-len(panels) // columns)
        # without date and random ids, the same records give the same bytes
        with plt.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none"}):
            figure, grid = plt.subplots(
                height, columns, figsize=(5 * columns, 3.6 * height), squeeze=False
            )
            for axes, (panel, *given) in zip(grid.flat, panels, strict=False):
                panel(axes, *given)
            for axes in grid.flat[len(panels) :]:
                axes.set_axis_off()
            figure.tight_layout()
            with atomic_files.written_whole(folder / f"{name}.svg") as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None})
            plt.close(figure)
        drawn.append(folder / f"{name}.svg")
    return drawn
