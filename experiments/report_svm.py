"""A part of make_tables.py: the figures of the SVMs on VOC2007, by layer and by class.

Both functions take {net: {layer: record}} of the records without difficult objects.
"""

from matplotlib.figure import Figure
from report_drawing import BLUE, GREY, MUTED, ORANGE, RED, Drawn, LeftOut, panels
from report_figures import bars, finish, legend, missing

PAPER_LAYER = "pool5"  # the paper's row of classes is probably of this layer (paper.json)
FIRST = ("trained", "untrained")  # then the nets that have other names
COLOURS = (BLUE, GREY, ORANGE, MUTED)
MADE_BY = "python experiments/voc_2007_classification.py"
Svm = dict[str, dict[str, dict]]


def shown(svm: Svm, layers: tuple[str, ...]) -> tuple[list[str], list[str], list[dict]]:
    """The nets, at most as many as there are colours, the layers, and the records."""
    names = [n for n in FIRST if n in svm] + sorted(n for n in svm if n not in FIRST)
    names = names[: len(COLOURS)]
    measured = [layer for layer in layers if any(layer in svm[n] for n in names)]
    return names, measured, [svm[n][b] for n in names for b in measured if b in svm[n]]


def shifts(count: int) -> tuple[list[float], float]:
    """Where the bars of `count` nets are beside each other, from the middle, and how wide."""
    step = 0.8 / count
    return [(i - (count - 1) / 2) * step for i in range(count)], 0.95 * step


def by_layer(svm: Svm, layers: tuple[str, ...]) -> Drawn | LeftOut:
    """Mean AP of the nets by layer."""
    name, title = "svm_layers", "VOC2007 SVMs by layer"
    nets, measured, own = shown(svm, layers)
    if not own:
        return missing(name, title, "SVMs", MADE_BY)

    def draw(narrow: bool) -> Figure:
        figure, (axes,) = panels(1, narrow, 2.8)
        places, width = shifts(len(nets))
        for shift, net, colour in zip(places, nets, COLOURS, strict=False):
            known = [i for i, layer in enumerate(measured) if layer in svm[net]]
            values = [100 * svm[net][measured[i]]["values"]["mean"]["area"] for i in known]
            axes.bar([i + shift for i in known], values, width, color=colour, label=net)
            for i, value in zip(known, values, strict=True):
                axes.text(i + shift, value + 1, f"{value:.1f}", ha="center", fontsize=8)
        chance = 100 * own[0]["values"]["mean"]["chance"]
        axes.axhline(chance, color=RED, linewidth=1, linestyle="--", label=f"chance ({chance:.1f})")
        axes.set_xticks(range(len(measured)), measured)
        axes.set(ylabel="mean AP, percent", ylim=(0, 100))
        legend(figure, axes, narrow)
        return figure

    caption = "Mean over the classes."
    if "untrained" in nets:
        caption += " The untrained net has the same fillers and seed."
    best = max(own, key=lambda r: r["values"]["mean"]["area"])
    alt = (
        f"Mean AP of {', '.join(measured)}; the highest is"
        f" {100 * best['values']['mean']['area']:.1f} percent, {best['layer']} of the"
        f" {best['name']} net."
    )
    return Drawn(name, title, caption, alt, draw, records=own)


def by_class(svm: Svm, layers: tuple[str, ...], paper: dict) -> Drawn | LeftOut:
    """AP of each class, a panel per layer; the paper's classes where the set is the paper's."""
    name, title = "svm_classes", "VOC2007 SVMs by class"
    nets, measured, own = shown(svm, layers)
    if not own:
        return missing(name, title, "SVMs", MADE_BY)
    classes = list(dict.fromkeys(c for r in own for c in r["values"]["classes"]))
    table = paper["tables"]["voc2007_svm_classes"]
    row = next(row for row in table["rows"] if row["method"] == table["ours"])
    papers = row["values"] if own[0]["paper_set"] and PAPER_LAYER in measured else {}

    def draw(narrow: bool) -> Figure:
        figure, axes = panels(len(measured), narrow, 0.7 + 0.15 * len(nets) * len(classes))
        places, width = shifts(len(nets))
        for panel, layer in zip(axes, measured, strict=True):
            for shift, net, colour in zip(places, nets, COLOURS, strict=False):
                scores = svm[net][layer]["values"]["classes"] if layer in svm[net] else {}
                known = [i for i, c in enumerate(classes) if c in scores]
                values = [scores[classes[i]]["area"] for i in known]
                bars(panel, [i + shift for i in known], values, colour, net, width)
            if papers and layer == PAPER_LAYER:
                known = [i for i, c in enumerate(classes) if papers.get(c) is not None]
                values = [papers[classes[i]] for i in known]
                panel.plot(
                    values, known, "D", color=RED, markersize=4.5, mec="white", label="paper"
                )
            panel.set_title(layer)
            finish(panel, classes)
        richest = max(axes, key=lambda panel: len(panel.get_legend_handles_labels()[0]))
        legend(figure, richest, narrow)
        return figure

    caption = "AP of each class in percent, area under the precision-recall curve."
    if papers:
        caption += f" The paper's row ({row['mark']}) is probably of {PAPER_LAYER}."
    alt = f"Bars of the AP of {len(classes)} classes for {', '.join(measured)}."
    return Drawn(name, title, caption, alt, draw, records=own)
