"""A part of make_tables.py: the figures of numbers, from the result records and the training's log.

Each function takes the records and returns a figure, or what would make it if they are missing.
"""

import textwrap

import report_training
from evidence_curves import measures
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report_drawing import BLUE, GREY, MUTED, ORANGE, RED, Drawn, LeftOut, panels

PAPER_TOPICS = 40
MOST_TICKS = 5
LONGEST = 32  # characters of a name beside a bar
KINDS = {"topics": "learns topics", "shuffled": "learns shuffled labels"}
EVIDENCE_TITLES = {
    "retrieval": "retrieval, percent",
    "fine-tuned": "fine-tuned, percent",
    "held-out loss": "loss on held-out images",
}


def of_experiment(records: dict, name: str) -> list[dict]:
    """The records of one experiment."""
    return [r for r in records.values() if r["experiment"] == name]


def training(curves: report_training.Curves, records: dict) -> list[Drawn | LeftOut]:
    """Loss, loss on held-out images and variance of the outputs over the iterations."""
    own = of_experiment(records, "training")
    lines = [("training", curves.loss, BLUE), ("held-out images", curves.validation, ORANGE)]
    lines = [line for line in lines if line[1]]

    def loss(narrow: bool) -> Figure:
        figure, (axes,) = panels(1, narrow, 2.6)
        for name, points, colour in lines:
            axes.plot(*zip(*points, strict=True), color=colour, label=name)
        axes.set(xlabel="iteration", ylabel="loss", yscale="log")
        few_ticks(axes)
        axes.grid(axis="y", which="major")
        if len(lines) > 1:
            axes.legend()
        return figure

    def variance(narrow: bool) -> Figure:
        figure, (axes,) = panels(1, narrow, 2.6)
        axes.plot(*zip(*curves.variance, strict=True), color=BLUE)
        axes.set(xlabel="iteration", ylabel="variance of the outputs", ylim=(0, None))
        axes.grid(axis="y")
        return figure

    found: list[Drawn | LeftOut] = []
    title = "Loss over the iterations"
    if not curves.loss:
        found.append(LeftOut("training_loss", title, curves.no_loss))
    else:
        caption = "The loss as Caffe displays it, summed over the topics; logarithmic scale. "
        caption += curves.no_validation or "The held-out images were not trained on."
        last = curves.loss[-1]
        alt = f"Training loss, {curves.loss[0][1]:g} at the start and {last[1]:g} at iteration"
        found.append(
            Drawn("training_loss", title, caption, f"{alt} {last[0]:,}.", loss, records=own)
        )
    title = "Variance of the outputs over the iterations"
    if not curves.variance:
        found.append(LeftOut("output_variance", title, curves.no_variance))
    else:
        caption = (
            "How much the predicted topics differ between the images of a batch: the variance,"
            " averaged over the topics. Near 0 the net says the same of every image: it has"
            " collapsed, or has not begun to learn."
        )
        alt = f"Variance of the outputs, {curves.variance[-1][1]:.2g} at the end."
        found.append(Drawn("output_variance", title, caption, alt, variance, records=own))
    return found


def few_ticks(axes: Axes) -> None:
    """Plain numbers on a logarithmic scale, also where it spans less than a decade."""
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))


def retrieval(records: dict) -> Drawn | LeftOut:
    """Mean AP of both directions by category."""
    name, title = "retrieval_categories", "Retrieval by category"
    own = [r for r in of_experiment(records, "retrieval") if r.get("lda", "corpus") == "corpus"]
    if not own:
        return missing(name, title, "retrieval", "python experiments/multi_modal_retrieval.py")
    values, pairs = own[0]["values"], own[0]["split"]["pairs"]
    names = list(values["categories"])

    def draw(narrow: bool) -> Figure:
        figure, (axes,) = panels(1, narrow, 0.8 + 0.33 * len(names))
        for shift, direction, colour in ((-0.2, "image_query", BLUE), (0.2, "text_query", GREY)):
            bars(
                axes,
                [i + shift for i in range(len(names))],
                [values["categories"][n][direction] for n in names],
                colour,
                direction.replace("_", " "),
            )
        chance_line(axes, values["chance"])
        finish(axes, names)
        legend(figure, axes, narrow)
        return figure

    caption = f"Mean AP over all candidates, {pairs} pairs. The line is the mean AP of chance."
    alt = (
        f"Mean AP of {len(names)} categories; on average {100 * values['image_query']:.1f} percent"
        f" for image queries and {100 * values['text_query']:.1f} for text queries, chance"
        f" {100 * values['chance']:.1f}."
    )
    return Drawn(name, title, caption, alt, draw, records=own[:1])


def topic_numbers(records: dict) -> Drawn | LeftOut:
    """Mean AP over the number of topics, on val and on test."""
    name, title = "number_of_topics", "Number of topics"
    own = of_experiment(records, "number_of_topics")
    if not own or not own[0]["rows"]:
        return missing(name, title, "numbers of topics", "python experiments/number_of_topics.py")
    rows, settings = own[0]["rows"], own[0]["settings"]
    numbers = [row["topics"] for row in rows]

    def draw(narrow: bool) -> Figure:
        figure, (axes,) = panels(1, narrow, 2.8)
        for split, colour in (("val", BLUE), ("test", GREY)):
            axes.plot(numbers, [100 * r[split] for r in rows], "o-", color=colour, label=split)
        label = f"the paper's {PAPER_TOPICS}"
        axes.axvline(PAPER_TOPICS, color=RED, linewidth=1, linestyle="--", label=label)
        axes.set_xticks(sorted({PAPER_TOPICS, *numbers}))
        axes.set(xlabel="number of topics", ylabel="mean AP, percent")
        axes.margins(0.08, 0.15)
        axes.grid(axis="y")
        legend(figure, axes, narrow)
        return figure

    caption = (
        f"SVMs on {settings['layer']} after {settings['iterations']:,} iterations of"
        f" {settings['net']} for each number. The number is chosen by val."
    )
    alt = f"Mean AP for {', '.join(map(str, numbers))} topics; the best on val is"
    return Drawn(name, title, caption, f"{alt} {own[0]['values']['best']}.", draw, records=own[:1])


def evidence(name: str, r: dict) -> Drawn:
    """Scores over the iterations of nets that learnt topics, and shuffled labels (evidence.py)."""
    rows = [(row, scores_of(row)) for row in r["rows"]]
    names = list(dict.fromkeys(score for _, scores in rows for score in scores))
    iterations = sorted({row["iteration"] for row in r["rows"]})
    kinds = (("topics", "o", BLUE), ("shuffled", "s", ORANGE))

    def draw(narrow: bool) -> Figure:
        figure, axes = panels(len(names), narrow, 2.1, columns=3)
        for panel, score in zip(axes, names, strict=True):
            scale = 1 if score == "held-out loss" else 100
            for labels, marker, colour in kinds:
                points: dict[int, list[float]] = {}
                for row, scores in rows:
                    if row["labels"] == labels and score in scores:
                        points.setdefault(row["iteration"], []).append(scale * scores[score])
                if not points:
                    continue
                steps = sorted(points)
                means = [sum(points[i]) / len(points[i]) for i in steps]
                panel.plot(steps, means, color=colour, label=KINDS[labels])
                dots = [(i, value) for i in steps for value in points[i]]
                panel.plot(*zip(*dots, strict=True), marker, color=colour, markersize=4, alpha=0.6)
            if score in r["chance"]:
                chance = scale * r["chance"][score]
                panel.axhline(chance, color=MUTED, linestyle=":", linewidth=1, label="chance")
            panel.set_title(EVIDENCE_TITLES.get(score, f"SVM on {score}, percent"))
            if len(iterations) <= MOST_TICKS:
                panel.set_xticks(iterations)
            else:
                panel.xaxis.set_major_locator(ticker.MaxNLocator(MOST_TICKS, integer=True))
            panel.grid(axis="y")
        figure.supxlabel("iteration", fontsize=9)
        legend(figure, axes[0], narrow)
        return figure

    seeds = list(dict.fromkeys(row["seed"] for row in r["rows"]))
    recipe = f"{r['net']}, {r['solver']}, recipe {r['recipe']}"
    caption = (
        "Mean AP over the classes, and for retrieval over both directions, of nets that learn the"
        " topics of their images' texts, and of nets that learn shuffled labels: the same vectors"
        " at other images. At iteration 0 the net is untrained. A dot per run; the lines join"
        " the means."
        f" {recipe}, seed{'s' if len(seeds) > 1 else ''}"
        f" {', '.join(map(str, seeds))}. {r['note']}."
    )
    alt = f"{len(names)} panels of scores at iterations {', '.join(map(str, iterations))}."
    title = f"SVM mean AP against iterations: {recipe}"
    return Drawn(name, title, caption, alt, draw, records=[r])


def scores_of(row: dict) -> dict[str, float]:
    """The scores of a row of an evidence record, and the loss on held-out images."""
    loss = row.get("held_out_loss")
    return measures(row) | ({} if loss is None else {"held-out loss": loss})


def bars(
    axes: Axes,
    places: list[float],
    values: list[float],
    colour: str,
    label: str,
    height: float = 0.38,
) -> None:
    """Horizontal bars of fractions in percent, each with its number."""
    percent = [100 * v for v in values]
    axes.barh(places, percent, height, color=colour, label=label)
    for y, value in zip(places, percent, strict=True):
        axes.text(value + 1, y, f"{value:.0f}", va="center", fontsize=7.5)


def chance_line(axes: Axes, chance: float) -> None:
    """A dashed line at what chance gives."""
    label = f"chance ({100 * chance:.1f})"
    axes.axvline(100 * chance, color=RED, linewidth=1, linestyle="--", label=label)


def finish(axes: Axes, names: list[str]) -> None:
    """The scale of horizontal bars of AP, and the names."""
    axes.set_yticks(
        range(len(names)), [textwrap.shorten(n, LONGEST, placeholder=" …") for n in names]
    )
    axes.set(xlabel="AP, percent", xlim=(0, 112), ylim=(len(names) - 0.5, -0.5))
    axes.set_xticks(range(0, 101, 20))


def legend(figure: Figure, axes: Axes, narrow: bool) -> None:
    """The legend of a panel above the figure; what is drawn for comparison comes last."""
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i].startswith(("chance", "paper")))
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        ncols=2 if narrow else 4,
        loc="outside upper left",
        handlelength=1.3,
        columnspacing=1.2,
    )


def missing(name: str, title: str, what: str, command: str) -> LeftOut:
    """A figure without its record."""
    return LeftOut(name, title, f"There is no record of the {what}: {command} makes it.")
