"""Retrieve by the classic baselines on the features that come with the Wikipedia set.

Reads:   SET/{trainset,testset}_txt_img_cat.list, categories.list, raw_features.mat
Writes:  WORK/experiments/results/retrieval_baselines.json
Paper:   the rows CCA, PLS and SCM of the table of Wikipedia retrieval; features and protocol differ
Usage:   python experiments/retrieval_baselines.py [--data DIR] [--set DIR] [--work DIR] [--force]

raw_features.mat has the images' SIFT histograms (I_tr, I_te: 128 visual words) and the texts' LDA
topics (T_tr, T_te: 10), in the order of the lists.  The four methods, by Rasiwasia et al. (ACM MM
2010, section 4), where CCA is called correlation matching:

CCA, PLS  project both onto directions that go together; unsupervised
SM        semantic matching: class probabilities by a multinomial logistic regression of each side
SCM       semantic matching on the projections of CCA
"""

import texttopicnet.startup  # noqa: F401  isort: skip

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from sklearn.cross_decomposition import CCA, PLSCanonical
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from texttopicnet import artefacts, average_precision, command_line, features, results
from texttopicnet.errors import UserError
from texttopicnet.retrieval import (
    DIRECTIONS,
    README,
    TEST_LIST,
    TRAIN_LIST,
    Score,
    both_directions,
    corpus_of,
    divergences,
    mean_average_precisions,
    read_pairs,
)

METHODS = ("CCA", "PLS", "SM", "SCM")
PROJECTIONS = {"CCA": CCA, "PLS": PLSCanonical, "SCM": CCA}
FOLDS = 5
FEATURES = "raw_features.mat"

Sides = tuple[np.ndarray, np.ndarray]  # images, texts


def correlation(texts: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Minus the normalised correlation (cosine) of every text with every image."""
    return -cosine_similarity(texts, images)


SCORES: dict[str, Score] = {"KL": divergences, "correlation": correlation}


def load_features(folder: Path, split: str, count: int) -> Sides:
    """The features of a split's pairs, in the order of its list.

    Parameters
    ----------
    folder : Path
        The retrieval set.
    split : {'tr', 'te'}
    count : int
        Pairs in the split's list.

    Returns
    -------
    images, texts : ndarray of float64, shape (count, n_dims)

    Raises
    ------
    UserError
        The file is missing or damaged, or has another number of rows.
    """
    path = artefacts.downloaded(folder / FEATURES, README)
    try:
        found = scipy.io.loadmat(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)  # is refused below
            sides = tuple(np.asarray(found[f"{side}_{split}"], np.float64) for side in "IT")
    except features.MAT_ERRORS as error:
        raise UserError(
            f"{path} does not hold the arrays I_{split} and T_{split} of a MATLAB file ({error}):"
            f" {README} says how to get it"
        ) from error
    for side, array in zip("IT", sides, strict=True):
        is_real = not np.iscomplexobj(found[f"{side}_{split}"])
        if not is_real or array.ndim != 2 or len(array) != count or not np.isfinite(array).all():
            raise UserError(
                f"{path}: {side}_{split} {array.shape} is not one row of finite numbers for each of"
                f" the list's {count} pairs: get the file again ({README})"
            )
        if not array.std(axis=0).any():
            raise UserError(
                f"{path}: {side}_{split} has the same numbers for all pairs: get the file again"
                f" ({README})"
            )
    return sides


def project(method: str, components: int, train: Sides, test: Sides) -> tuple[Sides, Sides]:
    """Both splits in the common space of CCA or PLS, learnt from `train`."""
    model = PROJECTIONS[method](n_components=components, max_iter=500)
    with warnings.catch_warnings():
        # constant columns, such as the visual words of no image in a fold
        warnings.simplefilter("ignore")
        model.fit(*train)
        return model.transform(*train), model.transform(*test)


def semantic(train: Sides, labels: np.ndarray, test: Sides, c: float) -> Sides:
    """Class probabilities of `test`, by a logistic regression of each side."""
    sides = []
    for known, new in zip(train, test, strict=True):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
        sides.append(model.fit(known, labels).predict_proba(new))
    return tuple(sides)


def vectors(method: str, setting: dict, train: Sides, labels: np.ndarray, test: Sides) -> Sides:
    """Images and texts of `test` in the common space of a method, learnt from `train`."""
    if method in PROJECTIONS:
        train, test = project(method, setting["components"], train, test)
    return semantic(train, labels, test, setting["C"]) if "C" in setting else test


def settings(method: str, train: Sides) -> list[dict]:
    """The settings of a method that cross-validation chooses from."""
    most = min(train[0].shape[1], train[1].shape[1])
    components = [k for k in range(1, most) if k <= 9 or k % 10 == 0] or [1]
    grid = [{"components": k} for k in components] if method in PROJECTIONS else [{}]
    costs = (0.001, 0.01, 0.1, 1.0) if method in ("SM", "SCM") else ()
    if method == "SCM":  # all directions, as in the paper of Rasiwasia et al.
        grid = grid[-1:]
    return [point | {"C": c} for point in grid for c in costs] if costs else grid


def mean_ap(sides: Sides, labels: np.ndarray, score: Score) -> dict[str, float]:
    """mean_average_precisions of pairs in a common space."""
    ids = [f"{i:06}" for i in range(len(labels))]
    images, texts = sides
    return mean_average_precisions(both_directions(texts, images, ids, ids, labels, score))


def choose(method: str, train: Sides, labels: np.ndarray, seed: int, bar: tqdm) -> dict[str, Any]:
    """The setting and the score with the best average in cross-validation on the training pairs."""
    names = ["correlation"] if method in ("CCA", "PLS") else list(SCORES)
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train[0], labels))
    best = {"validation": -1.0}
    for setting in settings(method, train):
        found = dict.fromkeys(names, 0.0)
        for known, new in folds:
            sides = vectors(
                method,
                setting,
                tuple(side[known] for side in train),
                labels[known],
                tuple(side[new] for side in train),
            )
            for name in names:
                found[name] += mean_ap(sides, labels[new], SCORES[name])["average"] / FOLDS
            bar.update()
        name = max(found, key=found.get)
        if found[name] > best["validation"]:
            best = setting | {"score": name, "validation": found[name]}
    return best


def measure(
    train: Sides, train_labels: np.ndarray, test: Sides, labels: np.ndarray, seed: int
) -> dict[str, dict]:
    """{method: mean AP of both directions on `test`, and the setting chosen on `train`}."""
    rows = {}
    total = FOLDS * sum(len(settings(method, train)) for method in METHODS)
    with tqdm(total=total, unit="fit") as bar, threadpool_limits(1, user_api="blas"):
        for method in METHODS:
            bar.set_description(method)
            chosen = choose(method, train, train_labels, seed, bar)
            sides = vectors(method, chosen, train, train_labels, test)
            rows[method] = mean_ap(sides, labels, SCORES[chosen["score"]]) | {"chosen": chosen}
    return rows


def parse() -> argparse.Namespace:
    parser = command_line.parser(__doc__)
    command_line.add_options(parser, "--data")
    parser.add_argument(
        "--set",
        type=Path,
        metavar="DIR",
        help="folder of the retrieval set (default: DATA/Wikipedia)",
    )
    command_line.add_options(parser, "--work", "--note")
    command_line.add_options(parser, "--seed", help="seed of the folds (default: 0)")
    command_line.add_options(parser, "--force")
    return parser.parse_args()


def main() -> None:
    args = parse()
    start = time.perf_counter()
    output = args.work / artefacts.BASELINES_RECORD
    artefacts.refuse_existing(output, args.force)
    folder = args.set or args.data / "Wikipedia"
    _, _, labels, names = read_pairs(folder)
    _, _, train_labels, _ = read_pairs(folder, TRAIN_LIST)
    train = load_features(folder, "tr", len(train_labels))
    test = load_features(folder, "te", len(labels))
    counts = np.bincount(labels, minlength=len(names))
    known = np.bincount(train_labels, minlength=len(names))
    used = np.flatnonzero((counts > 0) | (known > 0))
    fewest = used[np.argmin(known[used])]
    if known[fewest] < FOLDS:
        raise UserError(
            f"{folder / TRAIN_LIST}: {names[fewest]} has {known[fewest]} pairs, and"
            f" cross-validation needs {FOLDS}: leave the category out of both lists"
        )
    print(
        f"baselines: {len(train_labels)} pairs to learn from, {len(labels)} to retrieve; images of"
        f" {train[0].shape[1]} and texts of {train[1].shape[1]} numbers"
    )
    rows = measure(train, train_labels, test, labels, args.seed)
    chance = float(average_precision.retrieval_by_chance(counts[labels], len(labels)).mean())
    corpus, paper_set = corpus_of(counts)
    results.save(
        output,
        results.record(
            experiment="retrieval_baselines",
            corpus=corpus,
            values={"methods": rows, "chance": chance},
            split={"training_pairs": len(train_labels), "pairs": len(labels)},
            seed=args.seed,
            inputs={
                "features": folder / FEATURES,
                "training_pairs": folder / TRAIN_LIST,
                "pairs": folder / TEST_LIST,
            },
            seconds=time.perf_counter() - start,
            note=args.note,
            paper_set=paper_set,
            dims={"image": train[0].shape[1], "text": train[1].shape[1]},
        ),
    )
    for method, row in rows.items():
        scores = (f"{name.replace('_', ' ')} {row[name]:.4f}" for name in (*DIRECTIONS, "average"))
        chosen = (f"{k} {v if k == 'score' else f'{v:.4g}'}" for k, v in row["chosen"].items())
        print(f"{method:>4}: {', '.join(scores)} ({', '.join(chosen)})")
    print(f"chance {chance:.4f} -> {output}")


if __name__ == "__main__":
    command_line.run(main)
