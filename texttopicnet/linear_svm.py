"""Linear SVMs, many at a time: StandardScaler and LinearSVC of scikit-learn, to a known bound.

For every column y of labels and its penalty C, `fit` finds the w and b that minimise

    (|w|^2 + b^2) / 2  +  C * sum_i max(0, 1 - y_i (w . x_i + b))^2

over the rows with y_i = 1 or -1, where x are the features of these rows, standardised on these
rows.  This is the problem of LinearSVC with its default loss (D13).  LinearSVC solves one SVM at a
time, by coordinate descent to a tolerance of its own; here Newton's method with conjugate gradients
works on all columns at once, so that the time goes into products of large matrices.  The objective
is strongly convex with modulus 1, so the length of the gradient bounds the distance of (w, b) from
the exact solution.

Source: Keerthi and DeCoste, A modified finite Newton method for fast solution of large scale linear
SVMs, JMLR 2005; Lin, Weng and Keerthi, Trust region Newton method for logistic regression, JMLR
2008.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

TOLERANCE = 1e-9  # of the gradient's length, and so of the distance from the exact solution
MOST_STEPS = 100  # of Newton's method; 5 to 15 are usual
MOST_HALVINGS = 30
BLOCK = 1024  # rows that are converted to float64 at a time


@dataclass(frozen=True)
class Model:
    """SVMs of k columns of labels.

    Attributes
    ----------
    coef : ndarray of float64, shape (n_dims, k)
        Weights for features that are not standardised.
    intercept : ndarray of float64, shape (k,)
    error : ndarray of float64, shape (k,)
        Bounds on the distance of the solution for standardised features, (w, b), from the exact
        one; `TOLERANCE` where the solver has converged.
    """

    coef: np.ndarray
    intercept: np.ndarray
    error: np.ndarray

    @property
    def converged(self) -> np.ndarray:
        """ndarray of bool, shape (k,)."""
        return self.error <= TOLERANCE

    def decision_function(self, array: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Scores of images, ndarray of float64, shape (n_rows, k); positive for the class.

        Parameters
        ----------
        array : ndarray of float32 or float64, shape (n_images, n_dims)
        rows : ndarray of int, optional
            Which images; all by default.
        """
        rows = np.arange(len(array)) if rows is None else rows
        parts = (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK))
        scores = [array[part].astype(np.float64) @ self.coef for part in parts]
        return np.concatenate([np.empty((0, len(self.intercept))), *scores]) + self.intercept

    def columns(self, chosen: ArrayLike) -> Model:
        """The SVMs of some columns."""
        chosen = np.asarray(chosen)
        return Model(self.coef[:, chosen], self.intercept[chosen], self.error[chosen])


def fit(
    array: np.ndarray,
    labels: ArrayLike,
    penalties: ArrayLike,
    rows: np.ndarray | None = None,
    on_converged: Callable[[int], object] = lambda _count: None,
) -> Model:
    """Fit StandardScaler and LinearSVC for every column of labels.

    Parameters
    ----------
    array : ndarray of float32 or float64, shape (n_images, n_dims)
    labels : array_like of int, shape (n_rows, k)
        1 or -1; 0 leaves the row out of this column's SVM and of its scaler.
    penalties : array_like of float, shape (k,)
        C of each column, above 0.
    rows : ndarray of int, shape (n_rows,), optional
        The images that the labels are of; all by default.
    on_converged : callable
        Called with the number of columns that have converged since the last call.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        Shapes do not agree, a label is not 1, -1 or 0, or a column lacks positives or negatives.
    """
    x = _standardized(array, rows)
    y, c = np.asarray(labels, dtype=np.float64), np.asarray(penalties, dtype=np.float64)
    if y.ndim != 2 or len(y) != len(x.values) or c.shape != y.shape[1:]:
        raise ValueError(
            f"labels {y.shape} and penalties {c.shape} do not fit {len(x.values)} rows"
        )
    if not np.isin(y, (-1, 0, 1)).all() or (y.max(0) < 1).any() or (y.min(0) > -1).any():
        raise ValueError("every column needs 1 and -1, and may have 0 besides")
    problem = _Problem(x.values, y, c, *_moments(x.values, y != 0))
    solution, error = _newton(problem, on_converged)
    coef = solution[:-1] / problem.scale
    intercept = solution[-1] - (problem.mean * coef).sum(0)
    coef /= x.scale[:, None]
    return Model(coef, intercept - x.mean @ coef, error)


@dataclass(frozen=True)
class _Standardized:
    """Features as float64 with mean 0 and standard deviation 1 over all rows."""

    values: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


def _standardized(array: np.ndarray, rows: np.ndarray | None) -> _Standardized:
    """Standardise all rows together, so that what differs between columns is small and exact."""
    rows = np.arange(len(array)) if rows is None else rows
    values = np.empty((len(rows), array.shape[1]))
    for start in range(0, len(rows), BLOCK):
        values[start : start + BLOCK] = array[rows[start : start + BLOCK]]
    mean = values.mean(0)
    values -= mean
    # the sum of squares by columns, without a second array of the size of `values`
    scale = np.sqrt(np.einsum("ij,ij->j", values, values) / len(values))
    scale[scale <= 1e-14 * np.abs(mean)] = 1  # a constant
    scale[scale == 0] = 1
    values /= scale
    return _Standardized(values, mean, scale)


def _moments(x: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the chosen rows of each column, two arrays (n_dims, k)."""
    weights = chosen / chosen.sum(0)
    mean = x.T @ weights
    squares = np.empty_like(mean)
    for start in range(0, x.shape[1], BLOCK):
        squares[start : start + BLOCK] = (x[:, start : start + BLOCK] ** 2).T @ weights
    variance = squares - mean**2
    scale = np.sqrt(np.maximum(variance, 0))
    scale[variance <= 1e-13 * squares] = 1  # a constant
    return mean, scale


@dataclass(frozen=True)
class _Problem:
    """The SVMs that are being solved; a point (w, b) of each is a column of (n_dims + 1, k)."""

    x: np.ndarray  # (n, d)
    y: np.ndarray  # (n, k): 1, -1, or 0 for rows that are left out
    c: np.ndarray  # (k,)
    mean: np.ndarray  # (d, k): of each column's rows
    scale: np.ndarray

    def columns(self, keep: np.ndarray) -> _Problem:
        return _Problem(
            self.x, self.y[:, keep], self.c[keep], self.mean[:, keep], self.scale[:, keep]
        )

    def scores(self, point: np.ndarray) -> np.ndarray:
        """w . x + b of every row, (n, k)."""
        w = point[:-1] / self.scale
        return self.x @ w + (point[-1] - (self.mean * w).sum(0))

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """The sum over the rows of weight * (x, 1), (d + 1, k)."""
        total = weights.sum(0)
        w = (self.x.T @ weights - self.mean * total) / self.scale
        return np.concatenate([w, total[None]])

    def slack(self, point: np.ndarray) -> np.ndarray:
        """max(0, 1 - y (w . x + b)), (n, k)."""
        return np.maximum(np.abs(self.y) - self.y * self.scores(point), 0)  # 0 where y is 0

    def gradient(self, point: np.ndarray, slack: np.ndarray) -> np.ndarray:
        return point - 2 * self.c * self.sums(self.y * slack)

    def value_on(
        self,
        point: np.ndarray,
        step: np.ndarray,
        size: np.ndarray,
        margin: np.ndarray,
        change: np.ndarray,
    ) -> np.ndarray:
        """The objective at point + size * step, (k,), from y (w . x + b) and its change."""
        slack = np.maximum(np.abs(self.y) - (margin + size * change), 0)
        return ((point + size * step) ** 2).sum(0) / 2 + self.c * (slack**2).sum(0)


def _newton(
    problem: _Problem, on_converged: Callable[[int], object]
) -> tuple[np.ndarray, np.ndarray]:
    """The solutions (d + 1, k) and the lengths of their gradients (k,)."""
    shape = (problem.x.shape[1] + 1, problem.y.shape[1])
    solution, error = np.zeros(shape), np.full(shape[1], np.inf)
    point, live = np.zeros(shape), np.arange(shape[1])
    for _ in range(MOST_STEPS):
        slack = problem.slack(point)
        gradient = problem.gradient(point, slack)
        length = np.linalg.norm(gradient, axis=0)
        better = length < error[live]
        solution[:, live[better]], error[live[better]] = point[:, better], length[better]
        # rounding: once close, a column whose gradient no longer shrinks is done
        keep = (length > TOLERANCE) & (better | (length > 1e3 * TOLERANCE))
        if not keep.all():
            on_converged(int((~keep).sum()))
            problem, live = problem.columns(keep), live[keep]
            point, slack, gradient = point[:, keep], slack[:, keep], gradient[:, keep]
            length = length[keep]
        if not live.size:
            break
        goal = np.maximum(0.3 * TOLERANCE, length * np.minimum(0.1, length))
        step = _conjugate_gradients(problem, slack > 0, -gradient, goal)
        point = point + _step_size(problem, point, step, gradient) * step
    return solution, error


def _conjugate_gradients(
    problem: _Problem, active: np.ndarray, right: np.ndarray, goal: np.ndarray
) -> np.ndarray:
    """Solve (I + 2 C X' X) step = right, X the active rows, until the residual is below `goal`."""
    step = np.zeros_like(right)
    residual, direction, live = right.copy(), right.copy(), np.arange(right.shape[1])
    squared = (residual**2).sum(0)
    for _ in range(len(right)):
        keep = np.sqrt(squared) > goal
        if not keep.all():
            problem, active, live = problem.columns(keep), active[:, keep], live[keep]
            residual, direction = residual[:, keep], direction[:, keep]
            squared, goal = squared[keep], goal[keep]
        if not live.size:
            break
        curved = direction + 2 * problem.c * problem.sums(active * problem.scores(direction))
        size = squared / (direction * curved).sum(0)
        step[:, live] += size * direction
        residual -= size * curved
        before, squared = squared, (residual**2).sum(0)
        direction = residual + squared / before * direction
    return step


def _step_size(
    problem: _Problem, point: np.ndarray, step: np.ndarray, gradient: np.ndarray
) -> np.ndarray:
    """1, or the first half, quarter, ... of it that lowers the objective (k,)."""
    margin, change = problem.y * problem.scores(point), problem.y * problem.scores(step)
    size, slope = np.ones(step.shape[1]), (gradient * step).sum(0)
    before = problem.value_on(point, step, 0 * size, margin, change)
    for _ in range(MOST_HALVINGS):
        after = problem.value_on(point, step, size, margin, change)
        too_long = after > before + 1e-4 * size * slope + 1e-15 * np.abs(before)
        if not too_long.any():
            break
        size[too_long] /= 2
    return size
