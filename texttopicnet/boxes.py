"""Boxes of objects: overlap, non-maximum suppression, regression, and proposals of a fixed grid.

A box is x1, y1, x2, y2 in pixels from 0, inclusive, so that its width is x2 - x1 + 1: the VOC
devkit's and Fast R-CNN's convention.
"""

import numpy as np

# Regression targets are divided by these, so that all four have about one size.  They take the
# place of the means and deviations that the first Fast R-CNN measured on its training set.
DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2])
MOST_GROWTH = np.log(1000 / 16)  # of a side; a wild prediction must not overflow


def sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Widths and heights of boxes (..., 4)."""
    return boxes[..., 2] - boxes[..., 0] + 1, boxes[..., 3] - boxes[..., 1] + 1


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of `a` with every box of `b`.

    Parameters
    ----------
    a, b : ndarray of shape (n, 4) and (m, 4)

    Returns
    -------
    ndarray of float64, shape (n, m)
        In [0, 1].
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low + 1, 0).prod(axis=2)
    areas = [np.multiply(*sides(boxes)) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression.

    The best box is kept and all that overlap it by more than the threshold are dropped; then the
    best of the rest, and so on.

    Parameters
    ----------
    boxes : ndarray of shape (n, 4)
    scores : ndarray of shape (n,)
        Equal scores keep their order.
    threshold : float
        Intersection over union.

    Returns
    -------
    ndarray of int64
        Numbers of the boxes that are kept, best first.
    """
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        kept.append(order[0])
        near = overlaps(boxes[order[:1]], boxes[order[1:]])[0]
        order = order[1:][near <= threshold]
    return np.array(kept, dtype=np.int64)


def encode(boxes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """What a regressor must predict at `boxes` to give `targets` (Girshick et al., CVPR 2014, C).

    Returns
    -------
    ndarray of float64, shape (n, 4)
        Shift of the centre in widths and heights, logarithm of the growth; over DEVIATIONS.
    """
    boxes, targets = np.asarray(boxes, np.float64), np.asarray(targets, np.float64)
    (width, height), (new_width, new_height) = sides(boxes), sides(targets)
    x, y = _centres(boxes)
    new_x, new_y = _centres(targets)
    found = [
        (new_x - x) / width,
        (new_y - y) / height,
        np.log(new_width / width),
        np.log(new_height / height),
    ]
    return np.stack(found, axis=-1) / DEVIATIONS


def decode(boxes: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The boxes that a regressor predicts; the inverse of `encode`.

    Parameters
    ----------
    boxes : ndarray of shape (n, 4)
    predicted : ndarray of shape (n, 4 k)
        Four numbers per class.

    Returns
    -------
    ndarray of float64, shape (n, k, 4)
    """
    boxes = np.asarray(boxes, np.float64)[:, None]
    predicted = np.asarray(predicted, np.float64)
    scaled = predicted.reshape(len(boxes), predicted.shape[1] // 4, 4) * DEVIATIONS
    width, height = sides(boxes)
    x, y = _centres(boxes)
    x, y = x + scaled[..., 0] * width, y + scaled[..., 1] * height
    half_width = width * np.exp(np.minimum(scaled[..., 2], MOST_GROWTH)) / 2
    half_height = height * np.exp(np.minimum(scaled[..., 3], MOST_GROWTH)) / 2
    low, high = (x - half_width, y - half_height), (x + half_width - 1, y + half_height - 1)
    return np.stack([*low, *high], axis=-1)


def _centres(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    width, height = sides(boxes)
    return boxes[..., 0] + width / 2, boxes[..., 1] + height / 2


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (..., 4) cut at the edges of an image."""
    most = np.array([width, height, width, height]) - 1
    return np.clip(boxes, 0, most)


def sliding(height: int, width: int) -> np.ndarray:
    """Proposals without looking at the image: windows of several sizes and shapes on a grid.

    The longer side is 1/6, 1/3 or 2/3 of the image's longer one, the shapes are 1:1, 1:2 and 2:1,
    and neighbours are half a longer side apart; the whole image is the last one.

    Returns
    -------
    ndarray of float64, shape (n, 4)
    """
    found = []
    for share in (1 / 6, 1 / 3, 2 / 3):
        longer = share * max(height, width)
        for across, down in ((1, 1), (0.5, 1), (1, 0.5)):
            w, h = min(across * longer, width), min(down * longer, height)
            lefts, tops = _places(width - w, longer / 2), _places(height - h, longer / 2)
            x, y = (grid.ravel() for grid in np.meshgrid(lefts, tops))
            found.append(np.stack([x, y, x + w - 1, y + h - 1], axis=1))
    found.append(np.array([[0, 0, width - 1, height - 1]]))
    return clip(np.round(np.concatenate(found)), height, width)


def _places(room: float, step: float) -> np.ndarray:
    """Where windows start along an edge: about a step apart, from end to end of their room."""
    return np.linspace(0, room, int(np.ceil(room / step)) + 1)
