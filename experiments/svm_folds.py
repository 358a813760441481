"""A part of image_classification.py: linear SVMs, one class against all others, fold by fold."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from texttopicnet import atomic_files, features, linear_svm
from texttopicnet.errors import UserError
from texttopicnet.image_sets import Fold, ImageSet

GRID = [0.5**n for n in range(7, 19, 2)]  # 7.8e-3 ... 7.6e-6
VAL_SHARE = 0.2  # of the training images, on which C is chosen


def one_against_all(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """int8 (n_images, n_classes): 1 for the image's class, -1 for the others."""
    return np.where(labels[:, None] == np.arange(n_classes), 1, -1).astype(np.int8)


def svm_fold(
    array: np.ndarray,
    labels: np.ndarray,
    fold: Fold,
    n_classes: int,
    seed: int,
    on_converged: Callable[[int], object] = lambda _count: None,
) -> tuple[float, float]:
    """Accuracy on a fold's test images, and the C that was chosen.

    Parameters
    ----------
    array : ndarray of float32, shape (n_images, n_dims)
    labels : ndarray of int64, shape (n_images,)
    fold : Fold
        Rows of `array`.
    n_classes : int
    seed : int
        Of the split on which C is chosen.
    on_converged : callable
        As linear_svm.fit calls it.
    """

    def accuracy(train: np.ndarray, test: np.ndarray, penalty: float) -> float:
        y = one_against_all(labels[train], n_classes)
        model = linear_svm.fit(array, y, np.full(n_classes, penalty), train, on_converged)
        found = model.decision_function(array, test).argmax(axis=1)
        return float((found == labels[test]).mean())

    train, val = split(labels, fold.train, n_classes, seed)
    best = GRID[int(np.argmax([accuracy(train, val, penalty) for penalty in GRID]))]
    return accuracy(fold.train, fold.test, best), best


def check(image_set: ImageSet, folds: list[Fold]) -> None:
    """Raise UserError if a class has a single training image in a fold."""
    for fold in folds:
        counts = np.bincount(image_set.labels[fold.train], minlength=len(image_set.classes))
        if counts.min() < 2:
            only = fold.train[image_set.labels[fold.train] == counts.argmin()][0]
            raise UserError(
                f"{image_set.paths[only]} is the only training image of class"
                f" '{image_set.classes[counts.argmin()]}' in split {fold.name}, and SVMs need two,"
                " to choose C: add images of the class, or leave it out"
            )


def split(
    labels: np.ndarray, rows: np.ndarray, n_classes: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training rows as four fifths and a fifth, with the same shares of the classes, each of which
    has two images or more (`check`).
    """
    held_out = max(n_classes, round(VAL_SHARE * len(rows)))
    return train_test_split(rows, test_size=held_out, random_state=seed, stratify=labels[rows])


def score(
    found: features.Features,
    labels: np.ndarray,
    folds: list[Fold],
    n_classes: int,
    seed: int,
    path: Path,
) -> list[tuple[float, float]]:
    """`svm_fold` of every fold; a run that was stopped resumes with the next fold.

    Parameters
    ----------
    found : features.Features
    labels : ndarray of int64, shape (n_images,)
    folds : list of Fold
        Rows of the features.
    n_classes : int
    seed : int
    path : Path
        Of the features; what is done is kept in ``<stem>.folds.json`` beside it until all is done.
    """
    kept = path.with_suffix(".folds.json")
    done = read_kept(kept)
    total = len(folds) * n_classes * (len(GRID) + 1)
    scored = []
    with tqdm(total=total, desc=path.stem, unit="SVM") as bar:
        for fold in folds:
            key = key_of(found, labels, fold, seed)
            if key in done:
                bar.update(n_classes * (len(GRID) + 1))
            else:
                done[key] = svm_fold(found.array, labels, fold, n_classes, seed, bar.update)
                with atomic_files.written_whole(kept) as temporary:
                    temporary.write_text(json.dumps(done))
            accuracy, penalty = done[key]
            scored.append((accuracy, penalty))
    kept.unlink(missing_ok=True)
    return scored


def key_of(found: features.Features, labels: np.ndarray, fold: Fold, seed: int) -> str:
    """A digest of all that the score of a fold depends on."""
    digest = hashlib.sha256(f"{found.blob} {found.weights_sha256} {seed}".encode())
    for rows in (fold.train, fold.test):
        digest.update(" ".join(found.ids[row] for row in rows).encode("utf-8", "surrogateescape"))
        digest.update(labels[rows].tobytes())
    return digest.hexdigest()


def read_kept(path: Path) -> dict[str, list[float]]:
    """What an earlier run has kept; nothing if the file is missing or damaged."""
    try:
        kept = json.loads(path.read_text())
        return {key: [float(a), float(c)] for key, (a, c) in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
