"""ImageData: batches of images listed in a text file, one "path label" per line.

Tops: data (N, C, H, W) float32, BGR, and labels (N,).  A thread of the layer reads the images
ahead.  Honours image_data_param: source, batch_size, root_folder (put in front of the paths as it
is), new_height and new_width (resized with OpenCV's INTER_LINEAR), is_color, shuffle, rand_skip;
transform_param (see caffe/data_transformer.py).
"""

from collections.abc import Hashable, Sequence

import cv2
import numpy as np
import torch

from caffe import image_list, log, mode, regular_file
from caffe.error import CaffeError
from caffe.layer import Shapes, register
from caffe.layer_parts.prefetching import PrefetchingLayer
from caffe.proto import caffe_pb2


@register("ImageData")
class ImageData(PrefetchingLayer):
    num_top = (2, 2)
    settings_field = "image_data_param"

    def __init__(self, param: caffe_pb2.LayerParameter, device: torch.device) -> None:
        super().__init__(param, device)
        if (self.settings.new_height > 0) != (self.settings.new_width > 0):
            self.fail("image_data_param: give new_height and new_width together")

    def setup(self, shapes: Shapes) -> None:
        p = self.settings
        log.info("image_data_layer.cpp:38", f"Opening file {p.source}")
        self.lines = self._lines()
        self.seed = mode.draw_seed()
        if p.shuffle:
            log.info("image_data_layer.cpp:51", "Shuffling data")
            self.order = range(len(self.lines))
            self._shuffle(np.random.default_rng(self.seed))
        elif self.train and mode.solver_count() > 1 and not p.rand_skip:
            advice = "Shuffling or skipping recommended for multi-GPU"
            log.warning("image_data_layer.cpp:60", advice)
        log.info("image_data_layer.cpp:61", f"A total of {len(self.lines)} images.")
        self.cursor = self.skipped()
        if self.cursor >= len(self.lines):
            self.fail(f"image_data_param.rand_skip skips {self.cursor} of {len(self.lines)} images")
        first = self.order[self.cursor] if self.order else self.cursor
        self.transform_like(first, "image_data_layer.cpp:84")

    def _lines(self):
        if not self.settings.source:
            self.fail("image_data_param.source is missing")
        try:
            return image_list.read(self.settings.source)
        except CaffeError as error:
            self.fail(str(error))

    def _shuffle(self, rng: np.random.Generator):
        order = list(self.order)  # a new one: positions that were taken keep theirs
        rng.shuffle(order)
        self.order = order

    def record_count(self) -> int:
        return len(self.lines)

    def take(self, most: int) -> Sequence[int]:
        part = slice(self.cursor, min(self.cursor + most, len(self.lines)))
        self.cursor = part.stop
        return (self.order or range(len(self.lines)))[part]

    def end_round(self, rng: np.random.Generator) -> None:
        if self.cursor == len(self.lines):
            log.info("image_data_layer.cpp:163", "Restarting data prefetching from start.")
            self.cursor = 0
            if self.settings.shuffle:
                self._shuffle(rng)

    def source_key(self) -> Hashable:
        p = self.settings
        looks = p.root_folder, p.new_height, p.new_width, p.is_color
        return "ImageData", tuple(self.lines), *looks

    def read(self, record: int) -> np.ndarray:
        """The image of a line, uint8 (H, W, C)."""
        p = self.settings
        path = p.root_folder + self.lines[record][0]
        flag = cv2.IMREAD_COLOR if p.is_color else cv2.IMREAD_GRAYSCALE
        image, reason = None, ""
        try:
            regular_file.check(path)
            image = cv2.imread(path, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        except (CaffeError, cv2.error) as error:  # OpenCV's: a header with too many pixels
            reason = " ".join(f" ({error})".split("\n"))
        if image is None:
            self.fail(f"{path}, listed in {p.source}, cannot be read as an image{reason}")
        if p.new_height:
            image = cv2.resize(image, (p.new_width, p.new_height))
        return np.atleast_3d(image)

    def label(self, record: int, content: np.ndarray) -> int:
        return self.lines[record][1]

    def record_name(self, record: int) -> str:
        return self.lines[record][0]
