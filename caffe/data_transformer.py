"""From a record to the net's input: decode, crop, mirror, subtract the mean, scale.

The order is Caffe's (data_transformer.cpp): crop, subtract the mean, scale.  In TEST the crop is in
the middle, starting at floor((H - crop) / 2); in TRAIN it is anywhere.  The mean of mean_file is
taken at the crop's position, before mirroring.  A single mean_value serves all channels.
"""

from collections.abc import Sequence
from concurrent.futures import Executor

import cv2
import numpy as np
import torch

from caffe import datum
from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2

Record = caffe_pb2.Datum | np.ndarray
Draw = tuple[float, float, bool]  # the crop's place, as two fractions, and whether to mirror


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

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draw one image's crop and whether it is mirrored.

        The reader draws in the order of the records, so the number of threads changes nothing.
        """
        place = rng.random(2) if self.layer.train and self.crop else (0.0, 0.0)
        mirror = bool(self.param.mirror and rng.integers(2))
        return place[0], place[1], mirror

    # ------------------------------------------------------------- one record
    def pixels(self, record: Record, where: str) -> np.ndarray:
        """A Datum as an array (H, W, C), uint8 or float32 (see caffe/datum.py); arrays stay.

        An encoded image keeps its own number of channels unless force_gray, force_color or
        force_encoded_color says otherwise.  `where` names the record in errors.
        """
        if isinstance(record, np.ndarray):
            return record
        flags = cv2.IMREAD_UNCHANGED
        if self.param.force_gray:
            flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        elif self.param.force_color or self.layer.param.data_param.force_encoded_color:
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        return datum.pixels(record, f"layer '{self.layer.name}': {where}", flags)

    def output_shape(self, record: Record, where: str) -> Shape:
        """(C, H, W) of the net's input for records like this one, which `where` names in errors."""
        shape = height, width, channels = self.pixels(record, where).shape
        self._check(shape, where)
        return (channels, self.crop or height, self.crop or width)

    def _check(self, shape: Shape, where: str):
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

    def cut(self, image: np.ndarray, draw: Draw, where: str) -> np.ndarray:
        """Crop and mirror one image (a view); with a mean image, subtract it (then float32)."""
        self._check(image.shape, where)
        height, width = image.shape[:2]
        top = left = 0
        if self.crop:
            if self.layer.train:
                top = int(draw[0] * (height - self.crop + 1))
                left = int(draw[1] * (width - self.crop + 1))
            else:
                top, left = (height - self.crop) // 2, (width - self.crop) // 2
            height = width = self.crop
        image = image[top : top + height, left : left + width]
        if self.mean is not None and self.mean.ndim == 3:
            image = image.astype(np.float32) - self.mean[top : top + height, left : left + width]
        return image[:, ::-1] if draw[2] else image

    # ------------------------------------------------------------- a batch
    def batch(
        self,
        records: Sequence[Record],
        draws: Sequence[Draw],
        pool: Executor,
        names: Sequence[str],
    ) -> np.ndarray:
        """A batch of images.

        Parameters
        ----------
        records : sequence of Datum or of ndarray (H, W, C)
        draws : sequence
            What `draw` returned for each record.
        pool : Executor
        names : sequence of str
            Names the records in errors.

        Returns
        -------
        ndarray of shape (N, H, W, C)
            float32 if the records hold floats or a mean image was subtracted, else uint8.
        """

        def cut(record: Record, draw: Draw, name: str):
            return self.cut(self.pixels(record, name), draw, name)

        images = list(pool.map(cut, records, draws, names))
        first = images[0]
        out = np.empty((len(images), *first.shape), dtype=first.dtype)
        for i, image in enumerate(images):
            if image.shape != first.shape:
                self.layer.fail(
                    f"images of one batch differ in size ({first.shape[:2]} and {image.shape[:2]},"
                    f" channels {first.shape[2]} and {image.shape[2]}: {names[0]} and {names[i]});"
                    " set crop_size and force_color, or batch_size: 1"
                )
            out[i] = image
        return out

    def to_tensor(self, batch: np.ndarray, device: torch.device) -> torch.Tensor:
        """The batch on `device`: float32 (N, C, H, W), mean subtracted and scaled.

        In memory its channels are last.
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
