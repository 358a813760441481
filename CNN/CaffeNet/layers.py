"""The original's data layer in Python: it reads images and topic vectors straight from the files,
without LMDBs.

The stage "python" of train_val.prototxt (solver_python.prototxt), and the original's own
train_val.prototxt, name it as ``python_param { module: "layers" }``; run `caffe train` in this
folder.  Training from LMDBs is faster, because it decodes in parallel.
"""

import ast
import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from texttopicnet import images
from texttopicnet.errors import UserError

KEYS = {"img_dir", "mean", "batch_size", "num_topics", "labels", "shuffle", "seed"}
THREADS = 2


class MultiLabelDataLayerWikiCLEF(caffe.Layer):
    """Images and their topic vectors: random crops of 227 x 227 from images warped to 256 x 256,
    half of them mirrored.

    `param_str` is a Python dict literal (it is parsed, never run) with the original's keys

    - ``img_dir``: folder that the image paths of the labels are relative to;
    - ``mean``: mean of B, G, R, subtracted from pixels of 0..255;
    - ``batch_size``, ``num_topics``;

    and three optional ones: ``labels``, the JSON file of topic vectors
    (default ``../../LDA/training_labels<num_topics>.json``); ``shuffle`` (default True: a new order
    each epoch, D5; False is the original's order of the file); ``seed`` (default 0) of the order,
    the crops and the mirroring.

    Tops: data, float32 (batch_size, 3, 227, 227), B G R; label, float32 (batch_size, num_topics).
    The images left over at an epoch's end are dropped, as in the original.  A run that resumes
    from a snapshot begins a new epoch.
    """

    def setup(self, bottom: Sequence, top: Sequence) -> None:
        if len(top) != 2 or len(bottom) != 0:
            raise caffe.CaffeError(
                "MultiLabelDataLayerWikiCLEF needs two tops, data and label, and no bottom; it has"
                f" {len(top)} and {len(bottom)}"
            )
        params = self._params()
        self.folder, self.batch_size = Path(params["img_dir"]), params["batch_size"]
        self.mean = np.array(params["mean"], dtype=np.float32).reshape(-1)
        self.random = np.random.default_rng(params.get("seed", 0))
        self.shuffle = params.get("shuffle", True)
        labels = Path(params.get("labels", f"../../LDA/training_labels{params['num_topics']}.json"))
        self.names, self.labels = self._read_labels(labels, params["num_topics"])
        self.order, self.place = [], 0
        self.pool = ThreadPoolExecutor(THREADS)
        self.ahead = None  # the next batch, read while the net computes

    def _params(self) -> dict[str, Any]:
        try:
            params = ast.literal_eval(self.param_str)
        except (ValueError, SyntaxError) as error:
            raise caffe.CaffeError(
                f"python_param.param_str is not a Python dict literal: {self.param_str}"
            ) from error
        needed = {"img_dir", "mean", "batch_size", "num_topics"}
        if not isinstance(params, dict) or not needed <= params.keys() <= KEYS:
            raise caffe.CaffeError(
                f"python_param.param_str must have {sorted(needed)} and may have"
                f" {sorted(KEYS - needed)}: it is {self.param_str}"
            )
        return params

    def _read_labels(self, path: Path, num_topics: int) -> tuple[list[str], np.ndarray]:
        try:
            with open(path, encoding="utf-8") as f:
                labels = json.load(f)
            vectors = np.array(list(labels.values()), dtype=np.float32)
        except (OSError, ValueError) as error:
            raise caffe.CaffeError(
                f"{path} ({path.absolute()}) cannot be read ({error}): make it with"
                " python LDA/generate_train_labels.py"
            ) from error
        if vectors.shape != (len(labels), num_topics) or len(labels) < self.batch_size:
            raise caffe.CaffeError(
                f"{path} holds labels of shape {vectors.shape}; a batch needs {self.batch_size}"
                f" images with {num_topics} topics"
            )
        return list(labels), vectors

    def reshape(self, bottom: Sequence, top: Sequence) -> None:  # noqa: ARG002  pycaffe's interface
        top[0].reshape(self.batch_size, 3, images.CROP, images.CROP)
        top[1].reshape(self.batch_size, self.labels.shape[1])

    def forward(self, bottom: Sequence, top: Sequence) -> None:  # noqa: ARG002
        rows, reading = self.ahead or self._start()
        for i, image in enumerate(reading):
            top[0].data[i] = image.result()
        top[1].data[...] = self.labels[rows]
        self.ahead = self._start()

    def backward(self, top: Sequence, propagate_down: list[bool], bottom: Sequence) -> None:
        pass

    def _start(self) -> tuple[np.ndarray, list[Future]]:
        """Start reading the next batch: (rows of the labels, futures of the images)."""
        if self.place + self.batch_size > len(self.order):
            count = len(self.names)
            self.order, self.place = (
                self.random.permutation(count) if self.shuffle else np.arange(count),
                0,
            )
        rows = self.order[self.place : self.place + self.batch_size]
        self.place += self.batch_size
        spare = images.SIDE - images.CROP
        draws = self.random.integers(0, [spare + 1, spare + 1, 2], size=(self.batch_size, 3))
        return rows, [
            self.pool.submit(self._read, self.names[row], *draw)
            for row, draw in zip(rows, draws, strict=True)
        ]

    def _read(self, name: str, x: int, y: int, mirror: int) -> np.ndarray:
        """One image as float32 (3, 227, 227), cropped at (x, y)."""
        try:
            image = images.resized(images.read_image(self.folder / name))
        except UserError as error:
            raise caffe.CaffeError(str(error)) from error
        crop = image[y : y + images.CROP, x : x + images.CROP]
        if mirror:
            crop = crop[:, ::-1]
        return (crop.astype(np.float32) - self.mean).transpose(2, 0, 1)
