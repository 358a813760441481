"""The average precisions of this project; each has its own name, because they give different
numbers for one ranking.

`area` is what the original's VOC script prints, `voc_11_point` what the VOC2007 devkit reports,
`retrieval` what the original's retrieval script prints for one query.  `retrieval_by_chance` is
what a random ranking gives on average.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Whether each label is positive, and the scores; ValueError as `area`."""
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(
            f"labels {labels.shape} and scores {scores.shape} must be two vectors of one length"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if not (labels > 0).any():
        raise ValueError("average precision needs at least one positive")
    return labels > 0, scores


def area(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall steps, without interpolation
    (sklearn.metrics.average_precision_score).

    Sum over thresholds of (recall_n - recall_{n-1}) * precision_n; equal scores share a threshold.

    Parameters
    ----------
    labels : array_like of shape (n_images,)
        Positive where > 0.
    scores : array_like of shape (n_images,)
        Higher is more positive; finite.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        Shapes differ, a score is not finite, or nothing is positive.
    """
    return float(average_precision_score(*_checked(labels, scores)))


def voc_11_point(labels: ArrayLike, scores: ArrayLike) -> float:
    """The VOC2007 devkit's AP: mean over recalls 0, 0.1, ..., 1 of the best precision at that
    recall or beyond.

    It interpolates, so it usually differs a little from the area.  Equal scores share a
    threshold, so that the order of the images cannot change the number (the devkit leaves that
    order to its sort).

    Parameters, range and errors as `area`.  Source: Everingham et al., The PASCAL Visual Object
    Classes Challenge, IJCV 2010.
    """
    positive, scores = _checked(labels, scores)
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    found = np.cumsum(positive[order])[last_of_ties]  # true positives down to each distinct score
    precision = found / (np.flatnonzero(last_of_ties) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    # recall >= i / 10 in integers: 0.1 * 3 > 0.3 in floating point would lose a point
    first = [np.searchsorted(10 * found, i * positive.sum()) for i in range(11)]
    return float(np.mean(best_from_here[first]))


def retrieval(relevant: ArrayLike) -> np.ndarray:
    """AP of rankings of all candidates: the mean precision at the ranks of the relevant ones.

    There is no cut-off: every ranking holds all relevant candidates.

    Parameters
    ----------
    relevant : array_like of bool, shape (..., n_candidates)
        Each row a ranking, best candidate first.

    Returns
    -------
    ndarray of float64, shape (...)
        In (0, 1].

    Raises
    ------
    ValueError
        A ranking holds no relevant candidate.
    """
    relevant = np.asarray(relevant, dtype=bool)
    found = np.cumsum(relevant, axis=-1)
    if relevant.shape[-1] == 0 or not found[..., -1].all():
        raise ValueError("average precision needs at least one relevant candidate in every ranking")
    precision = found / np.arange(1, relevant.shape[-1] + 1)
    return (precision * relevant).sum(axis=-1) / found[..., -1]


def retrieval_by_chance(n_relevant: ArrayLike, n_candidates: int) -> np.ndarray | np.float64:
    """The exact expectation of `retrieval` for a ranking drawn at random.

    Rank k is relevant with probability r / n, and the k - 1 ranks above it then hold
    (k - 1) (r - 1) / (n - 1) relevant candidates on average.  The sum over k is

        (H + (r - 1) / (n - 1) * (n - H)) / n    with H = 1 + 1/2 + ... + 1/n.

    Parameters
    ----------
    n_relevant : int or array_like of int
        r, 1 <= r <= n.
    n_candidates : int
        n.

    Returns
    -------
    float or ndarray of float64
        Shape of `n_relevant`, in (0, 1].
    """
    r, n = np.asarray(n_relevant, dtype=np.float64), int(n_candidates)
    if (r < 1).any() or (r > n).any():
        raise ValueError(f"the number of relevant candidates must lie in 1..{n}")
    if n == 1:
        return np.ones_like(r)[()]
    harmonic = (1.0 / np.arange(1, n + 1)).sum()
    return ((harmonic + (r - 1) / (n - 1) * (n - harmonic)) / n)[()]
