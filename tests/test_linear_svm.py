"""The SVM solver: one SVM by hand, and many against scikit-learn's StandardScaler and LinearSVC."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from texttopicnet import linear_svm


def test_two_points_by_hand():
    """Points -1 and 1 are their own standardised features.  By symmetry b = 0, and w minimises
    w^2 / 2 + 2 C (1 - w)^2: w = 4 C / (1 + 4 C), which is 2 / 3 for C = 1/2.
    """
    model = linear_svm.fit(np.float32([[-1], [1]]), [[-1], [1]], [0.5])
    assert model.coef.tolist() == [[pytest.approx(2 / 3, abs=1e-12)]]
    assert model.intercept == pytest.approx([0], abs=1e-12)
    assert model.converged.all()
    np.testing.assert_allclose(model.decision_function(np.float32([[3]])), [[2]], atol=1e-12)


def exact(array, labels, penalty):
    """scikit-learn's own, at a tolerance far below its default."""
    kept = labels != 0
    scaler = StandardScaler().fit(array[kept].astype(np.float64))
    svm = LinearSVC(C=penalty, dual=True, tol=1e-10, max_iter=100_000, random_state=0)
    svm.fit(scaler.transform(array[kept].astype(np.float64)), labels[kept])
    return svm.decision_function(scaler.transform(array.astype(np.float64)))


@pytest.mark.parametrize(("rows", "dims"), [(40, 100), (120, 15)])
def test_many_svms_are_those_of_scikit_learn(rows, dims):
    """More dimensions than rows, and fewer; each column leaves out other rows; every penalty."""
    rng = np.random.default_rng(rows)
    array = (rng.normal(size=(rows, dims)) * rng.uniform(0.1, 9, dims) + 50).astype(np.float32)
    array[:, 3] = 7.25  # a constant
    labels = np.where(rng.normal(size=(rows, 3)) + 0.2 * (array[:, :3] - 50) > 0, 1, -1)
    labels[rng.random((rows, 3)) < 0.05] = 0
    penalties = [0.5**n for n in (1, 7, 13, 18)]
    columns = np.repeat(labels, 4, axis=1)
    model = linear_svm.fit(array, columns, penalties * 3)
    assert model.converged.all()
    scores = model.decision_function(array)
    for i, penalty in enumerate(penalties * 3):
        expected = exact(array, columns[:, i], penalty)
        np.testing.assert_allclose(scores[:, i], expected, atol=1e-7, rtol=0)


def test_a_feature_that_is_constant_where_it_counts():
    """Dimension 0 differs only in a row that is left out: LinearSVC sees a constant."""
    rng = np.random.default_rng(1)
    array = rng.normal(size=(30, 4)).astype(np.float32)
    array[:, 0] = 0.1
    array[4, 0] = 3
    labels = np.where(array[:, 1] > 0, 1, -1)
    labels[4] = 0
    kept = np.delete(np.arange(30), 4)
    scores = linear_svm.fit(array, labels[:, None], [0.01]).decision_function(array, kept)
    expected = exact(array, labels, 0.01)[kept]
    np.testing.assert_allclose(scores[:, 0], expected, atol=1e-7)


def test_some_rows_of_a_larger_array():
    rng = np.random.default_rng(2)
    array, rows = rng.normal(size=(50, 6)).astype(np.float32), rng.permutation(50)[:20]
    labels = rng.choice([-1, 1], (20, 2))
    some = linear_svm.fit(array, labels, [1, 0.1], rows)
    alone = linear_svm.fit(array[rows], labels, [1, 0.1])
    np.testing.assert_array_equal(some.coef, alone.coef)
    np.testing.assert_array_equal(
        some.decision_function(array, rows[:3]), alone.decision_function(array[rows[:3]])
    )
    chosen = some.columns([1])
    np.testing.assert_array_equal(chosen.coef[:, 0], some.coef[:, 1])


def test_progress_counts_every_column_once():
    rng = np.random.default_rng(3)
    counted = []
    labels = np.where(rng.normal(size=(30, 7)) > 0, 1, -1)
    linear_svm.fit(rng.normal(size=(30, 5)), labels, np.full(7, 0.1), on_converged=counted.append)
    assert sum(counted) == 7


@pytest.mark.parametrize(
    "labels", [[[1], [1]], [[2], [-1]], [[1], [-1], [1]]], ids=["one class", "2", "three rows"]
)
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(ValueError, match=r"rows|needs 1 and -1"):
        linear_svm.fit(np.zeros((2, 2), np.float32), labels, [1])
