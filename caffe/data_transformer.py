"""From a record to the net's input: decode, crop, mirror, subtract the mean, scale.

The order is Caffe's (data_transformer.cpp): crop, subtract the mean, scale.  In TEST the crop is in
the middle, starting at floor((H - crop) / 2); in TRAIN it is anywhere.  The mean of mean_file is
taken at the crop's position, before mirroring.  A single mean_value serves all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from caffe import datum
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2

Record = caffe_pb2.Datum | np.ndarray
DOUBLE = 2.0**-53  # what NumPy multiplies 53 random bits by
SHIFT, UPPER, TOP, LOWER = np.uint64(11), np.uint64(32), np.uint64(31), np.uint64(2**32 - 1)


@dataclass(frozen=True)
class Draws:
    """The random part of some images' transformation.

    Attributes
    ----------
    places : ndarray of float64, shape (N, 2)
        Where the crop starts, from top and from left, as fractions in [0, 1) of the possible
        places.
    mirrors : ndarray of bool, shape (N,)
    """

    places: np.ndarray
    mirrors: np.ndarray

    @classmethod
    def joined(cls, parts: list[Draws]) -> Draws:
        """Several draws, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.places for part in parts]),
            np.concatenate([part.mirrors for part in parts]),
        )


class DataTransformer:
    """Applies transform_param.

    Honours scale, mirror, crop_size, mean_file, mean_value, force_color and force_gray.

    Parameters
    ----------
    layer : Layer
        The data layer, for its phase and for errors.
    param : TransformationParameter
    """

    def __init__(self, layer: Layer, param: caffe_pb2.TransformationParameter) -> None:
        self.layer = layer
        self.param = param
        self.crop = param.crop_size
        self.scale = np.float32(param.scale)
        self.mean = None  # (H, W, C) or (C,) or (1,), float32
        self._spread_mean = np.empty((0, 0, 0), dtype=np.float32)  # mean_value as an image
        if param.mean_file and param.mean_value:
            layer.fail("transform_param: give mean_file or mean_value, not both")
        if param.force_color and param.force_gray:
            layer.fail("transform_param: force_color and force_gray exclude each other")
        if param.mean_file:
            from caffe.io import read_mean_file

            self.mean = np.ascontiguousarray(read_mean_file(param.mean_file).transpose(1, 2, 0))
        elif param.mean_value:
            self.mean = np.array(param.mean_value, dtype=np.float32)

    def draw(self, rng: np.random.Generator, count: int) -> Draws:
        """Draw the crops of `count` images and whether they are mirrored.

        The numbers are those that ``rng.random(2)`` (if the crop is random), then
        ``rng.integers(2)`` (if the layer mirrors) give for image after image.
        """
        anywhere = bool(self.layer.train and self.crop)
        if anywhere and self.param.mirror:
            return _places_and_mirrors(rng, count)
        places = rng.random((count, 2)) if anywhere else np.zeros((count, 2))
        mirrors = rng.integers(2, size=count) if self.param.mirror else np.zeros(count)
        return Draws(places, mirrors.astype(bool))

    # ------------------------------------------------------------- one record
    def flags(self) -> int:
        """OpenCV's flags for decoding an image: colour, grey, or as it is.

        It keeps its own number of channels unless force_gray, force_color or force_encoded_color
        says otherwise.
        """
        if self.param.force_gray:
            return cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        if self.param.force_color or self.layer.param.data_param.force_encoded_color:
            return cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return cv2.IMREAD_UNCHANGED

    def pixels(self, record: Record, where: str) -> np.ndarray:
        """A Datum as an array (H, W, C), uint8 or float32 (see caffe/datum.py); arrays stay.

        `where` names the record in errors.
        """
        if isinstance(record, np.ndarray):
            return record
        return datum.pixels(record, f"layer '{self.layer.name}': {where}", self.flags())

    def output_shape(self, record: Record, where: str) -> Shape:
        """(C, H, W) of the net's input for records like this one, which `where` names in errors."""
        shape = self.pixels(record, where).shape
        self.check(shape, where)
        height, width, channels = self.cut_shape(shape)
        return (channels, height, width)

    def cut_shape(self, shape: Shape) -> Shape:
        """The (H, W, C) that the crop leaves of an image (H, W, C)."""
        return (self.crop or shape[0], self.crop or shape[1], shape[2])

    def check(self, shape: Shape, where: str) -> None:
        """Refuse an image (H, W, C) that is too small for the crop, or does not fit the mean."""
        height, width, channels = shape
        if self.crop > min(height, width):
            self.layer.fail(
                f"transform_param.crop_size {self.crop} is larger than {where} ({height} x {width})"
            )
        if self.mean is None:
            return
        if self.mean.ndim == 1 and len(self.mean) not in (1, channels):
            self.layer.fail(
                f"transform_param: {len(self.mean)} mean_value for {channels} channels of {where};"
                f" give 1 or {channels}"
            )
        if self.mean.ndim == 3 and self.mean.shape != shape:
            self.layer.fail(f"mean_file has (H, W, C) {self.mean.shape}, {where} has {shape}")

    def corner(self, place: Sequence[float], shape: Shape) -> tuple[int, int]:
        """Where the crop of an image (H, W, C) starts, from top and from left.

        `place` is its row of `Draws.places`.
        """
        if not self.crop:
            return 0, 0
        down, right = shape[0] - self.crop, shape[1] - self.crop
        if self.layer.train:
            return int(place[0] * (down + 1)), int(place[1] * (right + 1))
        return down // 2, right // 2

    def corners(self, places: np.ndarray, shape: Shape) -> np.ndarray:
        """The `corner` of each image, if all have one shape: int64 (N, 2)."""
        if self.layer.train and self.crop:
            room = np.array([shape[0] - self.crop + 1, shape[1] - self.crop + 1])
            return (places * room).astype(np.int64)
        return np.broadcast_to(np.array(self.corner((0.0, 0.0), shape)), places.shape)

    @property
    def finishes_on_device(self) -> bool:
        """Whether `finish` can do what is left to do for bytes: there is no mean image."""
        return self.mean is None or self.mean.ndim == 1

    def write(
        self, image: np.ndarray, corner: tuple[int, int], mirror: bool, out: np.ndarray
    ) -> None:
        """Crop and mirror an image; unless only its bytes are wanted, also make it the net's input.

        Parameters
        ----------
        image : ndarray of uint8 or float32, shape (H, W, C)
            It has passed `check`.
        corner : (int, int)
            As from `corner`.
        mirror : bool
        out : ndarray of shape (crop, crop, C)
            float32: the mean is subtracted, and the scale applied.  uint8: that is left to
            `finish`.
        """
        top, left = corner
        height, width = out.shape[:2]
        part = np.s_[top : top + height, left : left + width]
        turn = _mirrored if mirror else _as_it_is
        if out.dtype == np.uint8:
            np.copyto(out, turn(image[part]))
            return
        if self.mean is None:
            np.copyto(out, turn(image[part]))
        elif self.mean.ndim == 3:
            np.subtract(turn(image[part]), turn(self.mean[part]), out=out)
        else:
            np.subtract(turn(image[part]), self._spread(out.shape), out=out)
        if self.scale != 1:
            np.multiply(out, self.scale, out=out)

    def _spread(self, shape: Shape):
        """mean_value as an image: NumPy subtracts that much faster than a number per channel."""
        spread = self._spread_mean
        if spread.shape != shape:
            spread = self._spread_mean = np.ascontiguousarray(np.broadcast_to(self.mean, shape))
        return spread

    # ------------------------------------------------------------- a batch
    def finish(self, batch: torch.Tensor, mean: torch.Tensor | None) -> torch.Tensor:
        """Make bytes that are cropped and mirrored the net's input, on their device.

        Parameters
        ----------
        batch : Tensor of uint8 or float32, shape (N, H, W, C)
            Floats are overwritten.
        mean : Tensor of float32 that fits the shape, or None

        Returns
        -------
        Tensor of float32, shape (N, H, W, C)
            The numbers are those of `write`, bit for bit.
        """
        x = batch.float()
        if mean is not None:
            x.sub_(mean)
        return x if self.scale == 1 else x.mul_(float(self.scale))


def _as_it_is(image: np.ndarray) -> np.ndarray:
    return image


def _mirrored(image: np.ndarray) -> np.ndarray:
    """Left and right exchanged; OpenCV is 20 times as fast as a copy with a negative stride."""
    if image.shape[2] > 4:  # more channels than OpenCV takes for pixels
        return image[:, ::-1]
    return cv2.flip(image, 1).reshape(image.shape)


@lru_cache(maxsize=64)
def _order_of_draws(count: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Which random numbers make the places, (count, 2), and which are split for two mirrors."""
    splits = (np.arange(count) + half) % 2 == 0  # images whose mirror takes a new number
    first = 2 * np.arange(count) + np.cumsum(splits) - splits
    return first[:, None] + np.arange(2), first[splits] + 2


def _places_and_mirrors(rng: np.random.Generator, count: int) -> Draws:
    """What ``rng.random(2)`` and ``rng.integers(2)`` give in turn, `count` times.

    NumPy makes a fraction of the upper 53 bits of a random number.  `integers(2)` is the top bit of
    half a number; the generator keeps the other half for the next call.
    """
    bits = rng.bit_generator
    state = bits.state
    half = state["has_uint32"]  # 1: the first mirror comes from what is kept
    fractions, halves = _order_of_draws(count, half)
    numbers = bits.random_raw(2 * count + len(halves))
    places = (numbers[fractions] >> SHIFT) * DOUBLE
    pairs = numbers[halves]
    # the halves in the order of their use: what was kept, then each number's lower and upper half
    words = np.empty(1 + 2 * len(halves), dtype=np.uint64)
    words[0], words[1::2], words[2::2] = state["uinteger"], pairs & LOWER, pairs >> UPPER
    mirrors = words[1 - half : 1 - half + count] >> TOP
    state = bits.state
    state["has_uint32"] = (half + count) % 2
    state["uinteger"] = int(words[-1])
    bits.state = state
    return Draws(places, mirrors.astype(bool))
