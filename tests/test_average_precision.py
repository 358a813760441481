"""Each average precision against values computed by hand, its definition, and the original's
recording.
"""

import numpy as np
import pytest
import recorded

from texttopicnet import average_precision, retrieval


def test_area_by_hand():
    # ranks of the positives: 1 and 3, so the steps are 1/2 * 1/1 and 1/2 * 2/3
    assert average_precision.area([1, -1, 1, -1], [4, 3, 2, 1]) == pytest.approx((1 + 2 / 3) / 2)


def test_voc_11_point_by_hand():
    # recall 0..0.5 is reached with precision 1, recall 0.6..1 with 2/3
    assert average_precision.voc_11_point([1, -1, 1, -1], [4, 3, 2, 1]) == pytest.approx(
        (6 * 1 + 5 * 2 / 3) / 11
    )


def test_voc_11_point_counts_the_recall_that_floating_point_would_miss():
    # ten positives, the fourth behind a negative: recall 0.3 is reached exactly at rank 3, with
    # precision 1
    labels = [1, 1, 1] + [-1] * 7 + [1] * 7
    expected = (4 * 1 + 7 * 10 / 17) / 11  # precision rises to 10/17 at the end
    assert average_precision.voc_11_point(labels, -np.arange(17)) == pytest.approx(expected)


def naive_11_point(labels, scores):
    """The definition, threshold by threshold."""
    positives, points = sum(labels), []
    for i in range(11):
        best = 0
        for threshold in set(scores):
            taken = [y for y, s in zip(labels, scores, strict=True) if s >= threshold]
            if 10 * sum(taken) >= i * positives:
                best = max(best, sum(taken) / len(taken))
        points.append(best)
    return sum(points) / 11


@pytest.mark.parametrize("seed", range(10))
def test_voc_11_point_is_its_definition_even_with_ties(seed):
    rng = np.random.default_rng(seed)
    labels = [*rng.integers(0, 2, 40).tolist(), 1]
    scores = rng.integers(0, 12, 41).tolist()
    assert average_precision.voc_11_point(labels, scores) == pytest.approx(
        naive_11_point(labels, scores), abs=1e-14
    )


@pytest.mark.parametrize("name", ["area", "voc_11_point"])
def test_order_of_images_does_not_matter_even_in_ties(name):
    rng = np.random.default_rng(0)
    labels, scores = rng.choice([-1, 1], 50), rng.integers(0, 5, 50)
    shuffle = rng.permutation(50)
    ap = getattr(average_precision, name)
    assert ap(labels, scores) == pytest.approx(ap(labels[shuffle], scores[shuffle]), abs=1e-14)


@pytest.mark.parametrize("name", ["area", "voc_11_point"])
@pytest.mark.parametrize(
    ("labels", "scores"),
    [([-1, -1], [1, 2]), ([1, -1], [1]), ([1, -1], [np.nan, 1]), ([[1]], [[1]])],
)
def test_input_without_an_ap_is_refused(name, labels, scores):
    with pytest.raises(ValueError, match=r"two vectors|finite|at least one positive"):
        getattr(average_precision, name)(labels, scores)


def test_retrieval_by_hand_and_by_row():
    ap = average_precision.retrieval([[True, False, True, False], [False, False, False, True]])
    np.testing.assert_allclose(ap, [(1 + 2 / 3) / 2, 1 / 4], rtol=0, atol=1e-15)


def test_retrieval_without_relevant_candidates_is_refused():
    with pytest.raises(ValueError, match="relevant"):
        average_precision.retrieval([[True, False], [False, False]])


def test_chance_is_the_mean_of_random_rankings():
    rng = np.random.default_rng(0)
    relevant = rng.permuted(np.tile(np.arange(30) < 4, (20000, 1)), axis=1)
    expected = average_precision.retrieval_by_chance(4, 30)
    assert average_precision.retrieval(relevant).mean() == pytest.approx(expected, abs=0.003)


def test_chance_by_hand():
    assert average_precision.retrieval_by_chance(1, 2) == pytest.approx((1 + 1 / 2) / 2)
    assert average_precision.retrieval_by_chance(5, 5) == pytest.approx(1)
    np.testing.assert_allclose(average_precision.retrieval_by_chance([1, 1], 1), [1, 1])
    with pytest.raises(ValueError, match=r"relevant candidates must lie in 1\.\.2"):
        average_precision.retrieval_by_chance(3, 2)


def test_retrieval_is_the_originals():
    recording = np.load(recorded.retrieval())
    text_ids, image_ids = recording["text_ids"].tolist(), recording["image_ids"].tolist()
    found = retrieval.both_directions(
        recording["text"], recording["image"], text_ids, image_ids, recording["category"]
    )
    for direction, ids in (("image_query", image_ids), ("text_query", text_ids)):
        queries, ap = found[direction]
        assert [ids[q] for q in queries] == recording[f"{direction}_order"].tolist()
        np.testing.assert_allclose(ap, recording[f"ap_{direction}"], rtol=0, atol=1e-12)
        assert ap.mean() == pytest.approx(float(recording[f"map_{direction}"]), abs=1e-12)
