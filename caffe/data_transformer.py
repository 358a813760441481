"""From a Datum to the net's input: decode, crop, mirror, subtract the mean, scale (Caffe:
data_transformer.cpp).

Order as in Caffe: crop, subtract the mean, scale.  A crop in TEST starts at floor((H - crop) / 2),
in TRAIN anywhere; the mean of mean_file is taken at the crop's position, before mirroring; one
mean_value serves all channels.
"""

import math

import cv2
import numpy as np
import torch

from caffe import encoded_image
from caffe.error import CaffeError

cv2.setNumThreads(0)  # one image is one thread's work; the batch is spread over threads


class DataTransformer:
    """Honours transform_param: scale, mirror, crop_size, mean_file, mean_value, force_color,
    force_gray.

    Parameters
    ----------
    layer : Layer
        The data layer, for its phase and for errors.
    param : TransformationParameter
    """

    def __init__(self, layer, param):
        self.layer = layer
        self.param = param
        self.crop = param.crop_size
        self.mean = None  # (H, W, C) or (C,) or (1,), float32
        if param.mean_file and param.mean_value:
            layer.fail("transform_param: give mean_file or mean_value, not both")
        if param.force_color and param.force_gray:
            layer.fail("transform_param: force_color and force_gray exclude each other")
        if param.mean_file:
            from caffe.io import read_mean_file

            self.mean = np.ascontiguousarray(read_mean_file(param.mean_file).transpose(1, 2, 0))
        elif param.mean_value:
            self.mean = np.array(param.mean_value, dtype=np.float32)

    def draw(self, rng):
        """The random part of one image: two fractions for the crop's place and whether to mirror.

        Drawn in the order of the records, so that threads change nothing.
        """
        place = rng.random(2) if self.layer.train and self.crop else (0.0, 0.0)
        mirror = bool(self.param.mirror and rng.integers(2))
        return place[0], place[1], mirror

    # ------------------------------------------------------------------------------------------------- one record
    def pixels(self, datum, where):
        """A Datum as an array (H, W, C): uint8 (BGR where it has colour), or float32 from
        float_data; an array stays.

        `where` names the record in errors.
        """
        if isinstance(datum, np.ndarray):
            return datum
        if datum.encoded:
            return self.decode(datum.data, where)
        shape = (datum.channels, datum.height, datum.width)
        if datum.data:
            flat = np.frombuffer(datum.data, dtype=np.uint8)
        else:
            flat = np.array(datum.float_data, dtype=np.float32)
        if min(shape) < 1 or flat.size != math.prod(shape):
            raise CaffeError(
                f"layer '{self.layer.name}': {where} says {shape} (channels, height, width) but holds {flat.size} numbers"
            )
        return flat.reshape(shape).transpose(1, 2, 0)

    def decode(self, data, where):
        """An encoded image as (H, W, C) uint8; its own number of channels unless force_color or
        force_gray.
        """
        flag = cv2.IMREAD_UNCHANGED
        if self.param.force_gray:
            flag = cv2.IMREAD_GRAYSCALE
        elif self.param.force_color or getattr(
            self.layer.param.data_param, "force_encoded_color", False
        ):
            flag = cv2.IMREAD_COLOR
        if flag != cv2.IMREAD_UNCHANGED:
            flag |= cv2.IMREAD_IGNORE_ORIENTATION
        image = encoded_image.decode(data, flag, f"layer '{self.layer.name}': {where}")
        if image.dtype != np.uint8:
            raise CaffeError(
                f"layer '{self.layer.name}': {where} is an image of {image.dtype}; Caffe reads 8 bits per channel"
            )
        return image[:, :, None] if image.ndim == 2 else image

    def output_shape(self, datum, where):
        """(C, H, W) of the net's input for records like `datum`, which `where` names in errors."""
        height, width, channels = self.pixels(datum, where).shape
        if self.crop > min(height, width):
            self.layer.fail(
                f"transform_param.crop_size {self.crop} is larger than the images ({height} x {width})"
            )
        if self.mean is not None and self.mean.ndim == 1 and len(self.mean) not in (1, channels):
            self.layer.fail(
                f"transform_param: {len(self.mean)} mean_value for {channels} channels; give 1 or {channels}"
            )
        if (
            self.mean is not None
            and self.mean.ndim == 3
            and self.mean.shape != (height, width, channels)
        ):
            self.layer.fail(
                f"mean_file has (H, W, C) {self.mean.shape}, the images have {(height, width, channels)}"
            )
        return (channels, self.crop or height, self.crop or width)

    def cut(self, image, draw, where):
        """Crop and mirror one image (a view); with a mean image, subtract it (then float32)."""
        height, width, channels = image.shape
        top = left = 0
        if self.mean is not None and self.mean.ndim == 3 and self.mean.shape != image.shape:
            self.layer.fail(f"mean_file has (H, W, C) {self.mean.shape}, {where} has {image.shape}")
        if self.mean is not None and self.mean.ndim == 1 and len(self.mean) not in (1, channels):
            self.layer.fail(
                f"transform_param: {len(self.mean)} mean_value for {channels} channels of {where}"
            )
        if self.crop:
            if self.crop > min(height, width):
                self.layer.fail(
                    f"transform_param.crop_size {self.crop} is larger than {where} ({height} x {width})"
                )
            if self.layer.train:
                top, left = (
                    int(draw[0] * (height - self.crop + 1)),
                    int(draw[1] * (width - self.crop + 1)),
                )
            else:
                top, left = (height - self.crop) // 2, (width - self.crop) // 2
            height = width = self.crop
        image = image[top : top + height, left : left + width]
        if self.mean is not None and self.mean.ndim == 3:
            image = image.astype(np.float32) - self.mean[top : top + height, left : left + width]
        return image[:, ::-1] if draw[2] else image

    # ---------------------------------------------------------------------------------------------------- a batch
    def batch(self, datums, draws, pool, names):
        """A batch of images.

        Parameters
        ----------
        datums : list of Datum or of ndarray (H, W, C)
        draws : list
            What `draw` gave for each of them.
        pool : Executor
        names : list of str
            What the records are called in errors.

        Returns
        -------
        ndarray of shape (N, H, W, C)
            uint8 where the mean can still be subtracted later, else float32.
        """
        items = zip(datums, draws, names, strict=True)
        images = list(
            pool.map(lambda item: self.cut(self.pixels(item[0], item[2]), item[1], item[2]), items)
        )
        first = images[0]
        out = np.empty((len(images), *first.shape), dtype=first.dtype)
        for i, image in enumerate(images):
            if image.shape != first.shape:
                self.layer.fail(
                    f"images of one batch differ in size ({first.shape[:2]} and {image.shape[:2]}, channels"
                    f" {first.shape[2]} and {image.shape[2]}: {names[0]} and {names[i]}); set crop_size and force_color, or"
                    " batch_size: 1"
                )
            out[i] = image
        return out

    def to_tensor(self, batch, device):
        """The batch as float32 (N, C, H, W) on `device`, channels last in memory, mean subtracted
        and scaled.
        """
        x = torch.from_numpy(batch)
        if device.type == "cuda":
            x = x.pin_memory().to(device, non_blocking=True)
        x = x.float()
        if self.mean is not None and self.mean.ndim == 1:
            x.sub_(torch.from_numpy(self.mean).to(device))
        if self.param.scale != 1:
            x.mul_(self.param.scale)
        return x.permute(0, 3, 1, 2)
