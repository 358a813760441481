"""Fast R-CNN's data layer: images of a set, and regions of interest (RoIs) from its proposals.

train_val.prototxt names it as ``python_param { module: "roi_data_layer" layer: "RoIDataLayer" }``.
`CNN/train_fast_rcnn.py` writes the file of RoIs that it reads; run `caffe train` in this folder.
"""

import ast
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np

import caffe
from texttopicnet import features, images
from texttopicnet.errors import UserError

KEYS = {"rois", "images", "rois_per_batch", "background", "scale", "longest"}
FOREGROUND = 0.25  # share of a batch's RoIs, at most
FOREGROUND_OVERLAP = 0.5
ARRAYS = ("paths", "boxes", "image", "overlap", "label", "targets", "num_classes", "seed")

Blobs = tuple[np.ndarray, ...]


def scaled(image: np.ndarray, scale: int, longest: int) -> tuple[np.ndarray, float]:
    """An image as the net gets it, and by how much it was scaled.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        BGR.
    scale, longest : int
        The shorter side becomes `scale`, unless the longer one becomes more than `longest`.

    Returns
    -------
    ndarray of float32, shape (3, h, w), mean subtracted
    factor : float
    """
    height, width = image.shape[:2]
    factor = min(scale / min(height, width), longest / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return (small - np.float32(images.MEAN_BGR)).transpose(2, 0, 1), factor


class RoIDataLayer(caffe.Layer):
    """Images and RoIs for training, as in Girshick's Fast R-CNN (ICCV 2015), section 2.3.

    `param_str` is a Python dict literal (parsed, never run): ``rois``, the file; ``images`` and
    ``rois_per_batch``; ``scale`` and ``longest`` as in `scaled`.  A quarter of the RoIs overlap an
    object by at least 0.5, the others by ``background`` or more, and less than 0.5.  An epoch shows
    every image twice, once mirrored, in an order that the file's seed draws.  A run that resumes
    from a snapshot begins a new epoch.

    Tops: data (images, 3, H, W), padded with zeros to one size; rois (R, 5), the number of the
    image and the scaled box; labels (R,); bbox_targets, bbox_inside_weights and
    bbox_outside_weights (R, 4 classes), which are 0 but for the four numbers of the RoI's class.
    """

    def setup(self, bottom: Sequence, top: Sequence) -> None:
        if len(top) != 6 or len(bottom) != 0:
            raise caffe.CaffeError(
                f"RoIDataLayer needs six tops and no bottom; it has {len(top)} and {len(bottom)}"
            )
        self.settings = self._settings()
        found = self._read(self.settings["rois"])
        self.paths, self.classes = found["paths"].tolist(), int(found["num_classes"])
        edges = np.searchsorted(found["image"], np.arange(len(self.paths) + 1))
        self.of_image = [slice(a, b) for a, b in itertools.pairwise(edges)]
        self.boxes, self.overlap = found["boxes"], found["overlap"]
        self.label, self.targets = found["label"], found["targets"]
        self.random = np.random.default_rng(int(found["seed"]))
        self.order: list[int] = []
        self.pool = ThreadPoolExecutor(1)
        self.ahead = None  # the next batch, made while the net computes

    def _settings(self) -> dict[str, Any]:
        try:
            found = ast.literal_eval(self.param_str)
        except (ValueError, SyntaxError) as error:
            raise caffe.CaffeError(
                f"python_param.param_str is not a Python dict literal: {self.param_str}"
            ) from error
        if not isinstance(found, dict) or found.keys() != KEYS:
            raise caffe.CaffeError(
                f"python_param.param_str must have {sorted(KEYS)}: it is {self.param_str}"
            )
        return found

    def _read(self, path: str) -> dict[str, np.ndarray]:
        try:
            with np.load(path, allow_pickle=False) as f:
                return {name: f[name] for name in ARRAYS}
        except features.READ_ERRORS as error:
            raise caffe.CaffeError(
                f"{path} cannot be read as a file of RoIs ({error}): make it with"
                " python CNN/train_fast_rcnn.py"
            ) from error

    def reshape(self, bottom: Sequence, top: Sequence) -> None:  # noqa: ARG002
        """The tops get their shapes in forward, with the batch; here, those before the first."""
        if self.ahead is None:
            side, numbers = self.settings["scale"], 4 * self.classes
            top[0].reshape(self.settings["images"], 3, side, side)
            for blob, shape in zip(top[1:], ((5,), (), *((numbers,),) * 3), strict=True):
                blob.reshape(1, *shape)

    def forward(self, bottom: Sequence, top: Sequence) -> None:  # noqa: ARG002
        batch = (self.ahead or self.pool.submit(self._batch)).result()
        self.ahead = self.pool.submit(self._batch)
        for blob, values in zip(top, batch, strict=True):
            blob.reshape(*values.shape)
            blob.data[...] = values

    def backward(self, top: Sequence, propagate_down: list[bool], bottom: Sequence) -> None:
        pass

    def _batch(self) -> Blobs:
        """The next images and their RoIs."""
        pictures, rows = [], []
        for number in range(self.settings["images"]):
            if not self.order:
                self.order = self.random.permutation(2 * len(self.paths)).tolist()
            image, mirrored = divmod(self.order.pop(), 2)
            picture, *found = self._image(image, bool(mirrored))
            pictures.append(picture)
            rows.append((np.full((len(found[0]), 1), number), *found))
        height, width = (max(p.shape[axis] for p in pictures) for axis in (1, 2))
        data = np.zeros((len(pictures), 3, height, width), dtype=np.float32)
        for place, picture in zip(data, pictures, strict=True):
            place[:, : picture.shape[1], : picture.shape[2]] = picture
        number, boxes, labels, targets = (np.concatenate(c) for c in zip(*rows, strict=True))
        return data, np.hstack([number, boxes]), labels, *self._per_class(labels, targets)

    def _image(self, image: int, mirrored: bool) -> Blobs:
        """An image, and the boxes, labels and targets of the RoIs drawn from it."""
        try:
            pixels = images.read_image(self.paths[image])
        except UserError as error:
            raise caffe.CaffeError(str(error)) from error
        chosen, foreground = self._draw(self.overlap[self.of_image[image]])
        boxes, targets, labels = (
            values[self.of_image[image]][chosen].copy()
            for values in (self.boxes, self.targets, self.label)
        )
        labels[foreground:] = 0
        if mirrored:
            pixels = pixels[:, ::-1]
            boxes[:, [0, 2]] = pixels.shape[1] - 1 - boxes[:, [2, 0]]
            targets[:, 0] *= -1
        picture, factor = scaled(pixels, self.settings["scale"], self.settings["longest"])
        return picture, boxes * factor, labels, targets

    def _draw(self, overlap: np.ndarray) -> tuple[np.ndarray, int]:
        """Rows of an image's RoIs, and how many of them, the first ones, are foreground."""
        most = self.settings["rois_per_batch"] // self.settings["images"]
        is_object = overlap >= FOREGROUND_OVERLAP
        groups = is_object, ~is_object & (overlap >= self.settings["background"])
        foreground, background = (
            self.random.permutation(np.flatnonzero(group)) for group in groups
        )
        foreground = foreground[: round(FOREGROUND * most)]
        background = background[: most - len(foreground)]
        return np.concatenate([foreground, background]), len(foreground)

    def _per_class(self, labels: np.ndarray, targets: np.ndarray) -> Blobs:
        """Targets and weights, in the four columns of each RoI's class."""
        wide = np.zeros((len(labels), self.classes, 4), dtype=np.float32)
        weights = np.zeros_like(wide)
        objects = np.flatnonzero(labels)
        wide[objects, labels[objects]] = targets[objects]
        weights[objects, labels[objects]] = 1
        flat = (len(labels), -1)
        return wide.reshape(flat), weights.reshape(flat), weights.reshape(flat)
