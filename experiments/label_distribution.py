"""Describe the distribution of image labels, of several label files side by side.

Reads:   label files (training_labels<topics>.json), and the bow.mm beside each if there is one
Writes:  WORK/experiments/results/text/label_distribution.json
Paper:   section 3.1 (what the net is to predict)
Usage:   python experiments/label_distribution.py NAME=LABELS [NAME=LABELS ...] [--work DIR]
                                                  [--force]
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import time
from pathlib import Path

import numpy as np

from texttopicnet import artefacts, bags, command_line, json_files, results, training_labels
from texttopicnet.errors import UserError

MADE_BY = "python LDA/generate_train_labels.py"


def describe(labels: np.ndarray) -> dict[str, float]:
    """How flat or peaked topic vectors are, in numbers.

    Parameters
    ----------
    labels : ndarray of shape (n_images, n_topics)
        >= 0, rows sum to at most 1; as in a label file, topics below the threshold are 0.

    Returns
    -------
    dict
        non_zero, sum, largest, entropy: means over the images of the number of topics above 0,
        their sum, the largest of them, and -sum p log p in nats (0 log 0 = 0) of the vector as it
        is, not normalised; median_non_zero; least_topic and most_topic: the smallest and the
        largest of the topics' means.
    """
    labels = np.asarray(labels, dtype=np.float64)
    non_zero = (labels > 0).sum(axis=1)
    entropy = -(labels * np.log(np.where(labels > 0, labels, 1.0))).sum(axis=1)
    by_topic = labels.mean(axis=0)
    return {
        "non_zero": float(non_zero.mean()),
        "median_non_zero": float(np.median(non_zero)),
        "sum": float(labels.sum(axis=1).mean()),
        "largest": float(labels.max(axis=1).mean()),
        "entropy": float(entropy.mean()),
        "least_topic": float(by_topic.min()),
        "most_topic": float(by_topic.max()),
    }


def read_labels(path: Path) -> np.ndarray:
    """The vectors of a label file, ndarray of float64, shape (n_images, n_topics), checked."""
    labels = json_files.read(path, MADE_BY)
    if not isinstance(labels, dict) or not all(
        isinstance(vector, list) for vector in labels.values()
    ):
        raise UserError(f"{path} does not hold labels: make them with {MADE_BY}")
    width = len(next(iter(labels.values()), []))
    return np.array(
        [vector for _, vector in training_labels.checked("lda", labels.items(), width, MADE_BY)]
    )


def main() -> None:
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "labels", nargs="+", metavar="NAME=LABELS", help="the table's name for a label file"
    )
    command_line.add_options(parser, "--work", "--force", "--trust-pickle")
    args = parser.parse_args()
    start = time.perf_counter()

    output = args.work / artefacts.RESULTS / "text" / "label_distribution.json"
    artefacts.refuse_existing(output, args.force)
    for given in args.labels:
        if not all(given.partition("=")):
            raise UserError(
                f"{given} is not NAME=LABELS: give each label file a name for the table"
            )
    files = {name: Path(path) for name, _, path in (given.partition("=") for given in args.labels)}
    if len(files) < len(args.labels):
        raise UserError("two label files have the same name: give each its own NAME=LABELS")
    print(f"distribution of the labels of {len(files)} files")

    values, split = {}, {}
    for name, path in files.items():
        labels = read_labels(path)
        bow = path.parent / Path(artefacts.BOW).name
        split[name] = len(labels)
        values[name] = describe(labels)
        if bow.is_file():
            corpus = bags.open_corpus(bow, args.trust_pickle)
            values[name]["distinct_words"] = corpus.num_nnz / corpus.num_docs
        print(
            f"{name}, {len(labels)} labels: "
            + ", ".join(f"{what} {value:.4f}" for what, value in values[name].items())
        )
    results.save(
        output,
        results.record(
            experiment="label_distribution",
            corpus=", ".join(files),
            values=values,
            split=split,
            seed=None,  # nothing is random here
            inputs=files,
            seconds=time.perf_counter() - start,
        ),
    )
    print(f"described: {output}")


if __name__ == "__main__":
    command_line.run(main)
