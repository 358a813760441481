"""The plot of choose_topics.py: perplexity and coherence over the number of topics."""

import numpy as np

from texttopicnet import atomic_files

PAPER = 40  # topics


def by_topics(measured, name):
    """{number of topics: mean over the seeds}, the fewest topics first."""
    numbers = sorted({row["topics"] for row in measured})
    return {
        k: round(float(np.mean([row[name] for row in measured if row["topics"] == k])), 4)
        for k in numbers
    }


def draw(record, path):
    """Two panels over the number of topics: a line for the mean over the seeds, a dot per model.

    Parameters
    ----------
    record : dict
        The result record of choose_topics.py.
    path : Path
        The PNG.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    top_words = record["settings"]["top_words"]
    panels = {
        "perplexity": (
            "held-out perplexity (words)",
            "Unseen articles: how many equally likely words it chooses from; lower is better",
        ),
        "coherence": (
            "c_v coherence (0 to 1)",
            f"Topics: how well the top {top_words} words belong together; higher is better",
        ),
    }
    models, both = record["models"], figure.subplots(2, 1, sharex=True)
    for axes, (name, (label, title)) in zip(both, panels.items(), strict=True):
        means = by_topics(models, name)
        axes.plot(list(means), list(means.values()), color="#1f6fb2", label="mean over the seeds")
        dots = [row["topics"] for row in models], [row[name] for row in models]
        axes.plot(
            *dots, "o", color="#1f6fb2", alpha=0.45, markersize=7, label="one model (one seed)"
        )
        axes.axvline(
            PAPER, color="#b5402a", linewidth=1, linestyle="--", label=f"the paper's {PAPER} topics"
        )
        axes.set_ylabel(label)
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xticks(sorted({PAPER, *means}))
    axes.set_xlabel("number of topics")
    figure.legend(
        *axes.get_legend_handles_labels(), frameon=False, ncols=3, loc="outside lower center"
    )
    split = record["split"]
    figure.suptitle(
        f"LDA learnt from {split['learning_documents']:,} documents,"
        f" passes {record['settings']['passes']}; perplexity on"
        f" {split['held_out_articles']:,} other articles,"
        f" coherence on {split['coherence_articles']:,}",
        fontsize=10,
    )
    with atomic_files.written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
