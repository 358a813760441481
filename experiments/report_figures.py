"""Figures of the report page: training loss, retrieval by category, SVMs by layer."""

import base64
import io
from collections.abc import Iterator

from matplotlib import rc_context, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, GREY, RED = "#1f6fb2", "#9aa4ae", "#b5402a"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def draw(records: dict, svm: dict, layers: tuple[str, ...]) -> list[dict]:
    """All figures that the records give.

    Parameters
    ----------
    records : dict
        {name: result record}.
    svm : dict
        {net: {layer: record}} of the SVMs on VOC2007, without difficult objects.
    layers : tuple of str
        Order of the layers.

    Returns
    -------
    list of dict
        title, png (base64), caption.
    """
    with rc_context(STYLE):
        drawn = [training(r) for r in of_experiment(records, "training")]
        drawn += [retrieval(r) for r in of_experiment(records, "retrieval") if lda(r) != "own"]
        drawn += [svm_by_layer(svm, layers)] if svm else []
        return [
            {"title": title, "png": png(figure), "caption": caption}
            for title, figure, caption in drawn
        ]


def of_experiment(records: dict, name: str) -> Iterator[dict]:
    """The records of one experiment."""
    return (r for r in records.values() if r["experiment"] == name)


def lda(record: dict) -> str:
    """Whose topics a retrieval record was measured in: the corpus's or the retrieval set's own."""
    return record.get("lda", "corpus")


def png(figure: Figure) -> str:
    """A figure as base64 PNG."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=110, bbox_inches="tight")
    return base64.b64encode(held.getvalue()).decode()


def training(r: dict) -> tuple[str, Figure, str]:
    """The loss over the iterations."""
    figure = Figure(figsize=(8, 3))
    axes = figure.subplots()
    axes.plot(*zip(*r["losses"], strict=True), color=BLUE)
    axes.set(xlabel="iteration", ylabel="loss", yscale="log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axes.grid(axis="y", which="both", color="#eaeef2")
    caption = f"Loss as Caffe displays it, mean over the batch; {r['seconds']:.0f} s. {r['note']}"
    return "Training loss", figure, caption


def retrieval(r: dict) -> tuple[str, Figure, str]:
    """Mean AP of both directions by category."""
    names = list(r["values"]["categories"])
    figure = Figure(figsize=(8, 3.2))
    axes = figure.subplots()
    for shift, direction, colour in ((-0.2, "image_query", BLUE), (0.2, "text_query", GREY)):
        values = [100 * r["values"]["categories"][n][direction] for n in names]
        places = [i + shift for i in range(len(names))]
        axes.bar(places, values, 0.38, color=colour, label=direction.replace("_", " "))
    chance_line(axes, 100 * r["values"]["chance"], "chance, all pairs")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    finish(axes)
    caption = f"Mean AP over all candidates; {r['split']['pairs']} pairs. {r['note']}"
    return "Retrieval by category", figure, caption


def svm_by_layer(svm: dict, layers: tuple[str, ...]) -> tuple[str, Figure, str]:
    """Mean AP of the trained and the untrained net by layer."""
    layers = [layer for layer in layers if any(layer in found for found in svm.values())]
    figure = Figure(figsize=(8, 3))
    axes = figure.subplots()
    for k, (name, colour) in enumerate((("trained", BLUE), ("untrained", GREY))):
        for i, layer in enumerate(layers):
            if layer in svm.get(name, {}):
                value = 100 * svm[name][layer]["values"]["mean"]["area"]
                label = name if i == 0 else None
                axes.bar(i + 0.4 * k - 0.2, value, 0.38, color=colour, label=label)
                axes.text(i + 0.4 * k - 0.2, value + 1, f"{value:.1f}", ha="center")
    any_record = next(iter(next(iter(svm.values())).values()))
    chance_line(axes, 100 * any_record["values"]["mean"]["chance"], "chance")
    axes.set_xticks(range(len(layers)), layers)
    finish(axes)
    caption = "Mean over the classes; the untrained net has the same fillers and seed."
    return "VOC2007 SVM by layer", figure, caption


def chance_line(axes: Axes, percent: float, name: str) -> None:
    """A dashed line at what chance gives."""
    label = f"{name} ({percent:.1f})"
    axes.axhline(percent, color=RED, linewidth=1, linestyle="--", label=label)


def finish(axes: Axes) -> None:
    """The scale of mean AP, and the legend above."""
    axes.set(ylabel="mean AP, percent", ylim=(0, 100))
    axes.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
