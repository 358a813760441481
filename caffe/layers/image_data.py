"""ImageData: batches of images listed in a text file, one "path label" a line, read in the
background.

Tops: data (N, C, H, W) float32, BGR, and labels (N,).  Honours image_data_param: source,
batch_size, root_folder (put in front of the paths as it stands), new_height and new_width (resized
with OpenCV's INTER_LINEAR), is_color, shuffle, rand_skip; transform_param (see
caffe/data_transformer.py).
"""

import re

import cv2
import numpy as np

from caffe import log, mode, prototxt, regular_file
from caffe.data_transformer import DataTransformer
from caffe.error import CaffeError
from caffe.layer import Layer, register
from caffe.layers.data import Data


def image_list(source):
    """The lines of a list of images: [(path, label)]; what follows the last blank is the label.

    As in Caffe, the label is read by C's atoi: "1.7" is 1, and a line without a number has the
    label 0 and loses what follows its last blank, if it has one.
    """
    lines = []
    for line in prototxt.read_text(source).split("\n"):
        line = line.rstrip()
        if line:
            path, blank, label = line.rpartition(" ")
            lines.append((path if blank else line, atoi(label)))
    if not lines:
        raise CaffeError(f"{source}: lists no images")
    return lines


def atoi(text):
    """The whole number at the beginning of a text, 0 if there is none; beyond 32 bits it wraps
    round, as C's does.
    """
    match = re.match(r"\s*([-+]?\d+)", text, re.ASCII)
    return (int(match[1]) + 2**31) % 2**32 - 2**31 if match else 0


@register("ImageData")
class ImageData(Data):
    num_top = (2, 2)

    def __init__(self, param, device):
        Layer.__init__(self, param, device)
        p = self.param.image_data_param
        if p.batch_size < 1:
            self.fail("image_data_param.batch_size must be at least 1")
        if (p.new_height > 0) != (p.new_width > 0):
            self.fail("image_data_param: give new_height and new_width together")
        self.batch_size = p.batch_size
        self.ready = None

    def setup(self, shapes):
        p = self.param.image_data_param
        log.info("image_data_layer.cpp:38", f"Opening file {p.source}")
        self.lines = self._lines(p.source)
        self.seed = mode.draw_seed()
        if p.shuffle:
            log.info("image_data_layer.cpp:51", "Shuffling data")
            np.random.default_rng(self.seed).shuffle(self.lines)
        log.info("image_data_layer.cpp:61", f"A total of {len(self.lines)} images.")
        self.cursor = (
            int(np.random.default_rng(mode.draw_seed()).integers(p.rand_skip)) if p.rand_skip else 0
        )
        if self.cursor >= len(self.lines):
            self.fail(f"image_data_param.rand_skip skips {self.cursor} of {len(self.lines)} images")
        self.transformer = DataTransformer(self, self.param.transform_param)
        first = self.lines[self.cursor][0]
        self.shape = self.transformer.output_shape(self._image(first), first)
        log.info(
            "image_data_layer.cpp:84",
            "output data size: " + ",".join(map(str, (self.batch_size, *self.shape))),
        )

    def _lines(self, source):
        if not source:
            self.fail("image_data_param.source is missing")
        try:
            return image_list(source)
        except CaffeError as error:
            self.fail(str(error))

    def _image(self, name):
        """An image as (H, W, C) uint8."""
        p = self.param.image_data_param
        path = p.root_folder + name
        flag = cv2.IMREAD_COLOR if p.is_color else cv2.IMREAD_GRAYSCALE
        image, reason = None, ""
        try:
            regular_file.check(path)
            image = cv2.imread(path, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        except (
            CaffeError,
            cv2.error,
        ) as error:  # the latter: a header that promises more pixels than OpenCV reads
            reason = " ".join(f" ({error})".split("\n"))
        if image is None:
            raise CaffeError(
                f"layer '{self.name}' (ImageData): {path}, listed in {p.source}, cannot be read as an image{reason}"
            )
        if p.new_height:
            image = cv2.resize(image, (p.new_width, p.new_height))
        return image[:, :, None] if image.ndim == 2 else image

    def _batch(self, rng, pool):
        chosen, draws = [], []
        for _ in range(self.batch_size):
            chosen.append(self.lines[self.cursor])
            draws.append(self.transformer.draw(rng))
            self.cursor += 1
            if self.cursor == len(self.lines):
                log.info("image_data_layer.cpp:163", "Restarting data prefetching from start.")
                self.cursor = 0
                if self.param.image_data_param.shuffle:
                    rng.shuffle(self.lines)
        images = list(pool.map(self._image, [path for path, _ in chosen]))
        labels = np.array([label for _, label in chosen], dtype=np.float32)
        return self.transformer.batch(images, draws, pool, [path for path, _ in chosen]), labels
