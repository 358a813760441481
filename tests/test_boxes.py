"""Boxes: overlaps, suppression and regression by hand."""

import numpy as np
import pytest

from texttopicnet import boxes


def test_overlap_by_hand():
    a = [[0, 0, 9, 9]]
    # the same, half of it, a quarter shared of 100 + 100, touching pixels, apart
    b = [[0, 0, 9, 9], [0, 0, 9, 4], [5, 5, 14, 14], [9, 9, 18, 18], [20, 0, 29, 9]]
    np.testing.assert_allclose(boxes.overlaps(a, b), [[1, 0.5, 25 / 175, 1 / 199, 0]])
    assert boxes.overlaps(np.zeros((0, 4)), b).shape == (0, 5)


def test_suppression_by_hand():
    found = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 29, 29], [0, 0, 9, 2]], dtype=float)
    scores = np.array([0.5, 0.9, 0.7, 0.6])
    # box 1 drops box 0 (overlap 0.9) and, at 0.3, box 3 (overlap 1/3)
    assert boxes.suppress(found, scores, 0.3).tolist() == [1, 2]
    assert boxes.suppress(found, scores, 0.4).tolist() == [1, 2, 3]
    assert boxes.suppress(found[:0], scores[:0], 0.3).tolist() == []
    assert boxes.suppress(found[[0, 0]], np.array([0.5, 0.5]), 0.3).tolist() == [0]


def test_regression_by_hand():
    # 10 x 10 to 20 x 10 whose centre is 10 further right: one width, and log 2 of growth
    (found,) = boxes.encode([[0, 0, 9, 9]], [[5, 0, 24, 9]])
    np.testing.assert_allclose(found, [1 / 0.1, 0, np.log(2) / 0.2, 0])


def test_decoding_inverts_encoding():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (2, 6, 2))
    start, target = np.concatenate([low, low + rng.uniform(1, 40, (2, 6, 2))], axis=2)
    predicted = np.hstack([np.zeros((6, 4)), boxes.encode(start, target)])
    found = boxes.decode(start, predicted)
    np.testing.assert_allclose(found[:, 0], start, atol=1e-9)
    np.testing.assert_allclose(found[:, 1], target, atol=1e-9)


def test_a_wild_prediction_does_not_overflow():
    assert np.isfinite(boxes.decode([[0, 0, 9, 9]], [[0, 0, 1e6, 1e6]])).all()
    assert boxes.decode(np.zeros((0, 4)), np.zeros((0, 12))).shape == (0, 3, 4)


def test_clipping():
    assert boxes.clip(np.array([[-3, 2, 50, 60]]), 40, 30).tolist() == [[0, 2, 29, 39]]


@pytest.mark.parametrize(("height", "width"), [(300, 300), (200, 333), (20, 31), (1, 1)])
def test_windows_cover_the_image(height, width):
    found = boxes.sliding(height, width)
    assert found[-1].tolist() == [0, 0, width - 1, height - 1]
    assert found.min() >= 0
    assert (found[:, 2] < width).all()
    assert (found[:, 3] < height).all()
    assert (found[:, 2:] >= found[:, :2] - 1).all()
    if height >= 200:
        assert 300 < len(found) < 700
        # any square of a third of the image's longer side overlaps a window well enough to learn
        side = max(height, width) / 3
        rng = np.random.default_rng(0)
        corner = rng.uniform(0, [width - side, height - side], (50, 2))
        objects = np.hstack([corner, corner + side - 1])
        assert boxes.overlaps(objects, found).max(axis=1).min() > 0.38
