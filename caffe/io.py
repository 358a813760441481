"""caffe.io: images and protobuf messages to NumPy and back, as in pycaffe's io module."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caffe import wire
from caffe.datum import numbers
from caffe.error import CaffeError
from caffe.images import ShapeError, load_image, oversample, resize, resize_image
from caffe.proto import caffe_pb2
from caffe.weights_file import read_blob_file

if TYPE_CHECKING:
    from caffe.pycaffe import Net

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "datum_to_array",
    "load_image",
    "oversample",
    "read_mean_file",
    "resize",
    "resize_image",
]


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """A BlobProto as an ndarray of float32.

    Its shape is num x channels x height x width if the blob has any of these old fields, else its
    field `shape`.  A blob with neither holds a single number, and the array has no axes.

    Raises
    ------
    ShapeError
        The shape does not fit the number of values.
    """
    values = blob.diff or blob.double_diff if return_diff else blob.data or blob.double_data
    values = np.array(values, dtype=np.float32)
    old = ("num", "channels", "height", "width")
    shape = (
        tuple(getattr(blob, name) for name in old)
        if any(map(blob.HasField, old))
        else tuple(blob.shape.dim)
    )
    try:
        if min(shape, default=0) < 0:
            raise ValueError
        return values.reshape(shape)
    except ValueError as error:
        raise ShapeError(f"a blob of shape {shape} cannot hold {values.size} values") from error


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """An ndarray as a BlobProto, with `diff` (of the same shape) as its diff."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(np.shape(arr))
    blob.data.extend(np.asarray(arr, dtype=np.float32).ravel().tolist())
    if diff is not None:
        blob.diff.extend(np.asarray(diff, dtype=np.float32).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """Several ndarrays as the bytes of a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(
        blobs=[array_to_blobproto(array) for array in arraylist]
    ).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """The bytes of a BlobProtoVector as a list of ndarrays of float32.

    Raises
    ------
    CaffeError
        The bytes are not a BlobProtoVector, or a blob's shape does not fit its values.
    """
    vector = wire.parse(
        caffe_pb2.BlobProtoVector(), str, f"{len(str)} bytes are not a BlobProtoVector"
    )
    return [blobproto_to_array(blob) for blob in vector.blobs]


def read_mean_file(path: Path | str) -> np.ndarray:
    """The mean image of a .binaryproto: float32 (C, H, W), BGR.

    Raises
    ------
    CaffeError
        The file is missing, or it is not a BlobProto of C x H x W values.
    """
    array = read_blob_file(path)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3:
        raise CaffeError(
            f"{os.fspath(path)}: holds an array of shape {array.shape}; a mean image is C x H x W"
        )
    return array


def array_to_datum(arr: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """An image (C, H, W) as a Datum: bytes if it is uint8, float_data otherwise.

    Raises
    ------
    ShapeError
        The array does not have three axes.
    """
    if arr.ndim != 3:
        raise ShapeError("Incorrect array shape.")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """A Datum (not encoded) as an image (C, H, W): uint8, or float64 for float_data.

    Raises
    ------
    ShapeError
        The Datum's channels, height and width do not fit its values, for example because it holds
        an encoded image.
    """
    return numbers(datum, "the Datum", float)


class Transformer:
    """Images (H, W, K) to a net's input (K, H', W') and back, with settings per input blob.

    `preprocess` resizes, transposes, swaps channels, scales (raw_scale), subtracts the mean and
    scales (input_scale), in this order; `deprocess` undoes it.

    Parameters
    ----------
    inputs : dict
        {input blob: its shape (N, K, H', W')}.
    """

    def __init__(self, inputs: dict[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    @classmethod
    def of(
        cls,
        net: "Net",
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> "Transformer":
        """A Transformer for a net's first input and images (H, W, K), with the given settings."""
        if not net.inputs:
            raise CaffeError(
                f"{net.file}: the net has no input to put images into; give a deploy prototxt"
            )
        name = net.inputs[0]
        made = cls({name: net.blobs[name].data.shape})
        made.set_transpose(name, (2, 0, 1))
        settings = {
            "mean": mean,
            "input_scale": input_scale,
            "raw_scale": raw_scale,
            "channel_swap": channel_swap,
        }
        for setting, value in settings.items():
            if value is not None:
                getattr(made, f"set_{setting}")(name, value)
        return made

    def _known(self, in_: str):
        if in_ not in self.inputs:
            raise CaffeError(f"{in_} is not one of the net inputs: {list(self.inputs)}")

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Order of the axes, e.g. (2, 0, 1) for (H, W, K) to (K, H, W)."""
        self._known(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise CaffeError(
                "Transpose order needs to have the same number of dimensions as the input."
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Order of the channels after the transposition, e.g. (2, 1, 0) for R G B to B G R."""
        self._known(in_)
        if len(order) != self.inputs[in_][1]:
            raise CaffeError(
                "Channel swap needs to have the same number of dimensions as the input channels."
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Factor before the mean is subtracted, e.g. 255 for images of 0 to 1."""
        self._known(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """The mean to subtract: (K,), (H, W) or (K, H, W) in the net's channel order.

        A mean image is resized to the input.
        """
        self._known(in_)
        mean, shape = np.asarray(mean, dtype=np.float32), tuple(self.inputs[in_][1:])
        if mean.ndim == 1:
            if mean.shape[0] not in (1, shape[0]):
                raise ShapeError(
                    f"Mean channels incompatible with input: {mean.shape[0]} for {shape[0]}"
                    " channels."
                )
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim != 3 or mean.shape[0] not in (1, shape[0]):
                raise ShapeError(f"Mean shape invalid: {mean.shape} for an input of {shape}.")
            if mean.shape[1:] != shape[1:]:
                mean = resize_image(mean.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Factor after the mean has been subtracted."""
        self._known(in_)
        self.input_scale[in_] = scale

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """An image (H, W, K) as the net's input: ndarray of float32, (K, H', W')."""
        self._known(in_)
        out = np.asarray(data).astype(np.float32, copy=False)
        size = tuple(self.inputs[in_][2:])
        if out.shape[:2] != size:
            out = resize_image(out, size)
        if self.transpose.get(in_) is not None:
            out = out.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            out = out[self.channel_swap[in_], :, :]
        if self.raw_scale.get(in_) is not None:
            out = out * np.float32(self.raw_scale[in_])
        if self.mean.get(in_) is not None:
            out = out - self.mean[in_]
        if self.input_scale.get(in_) is not None:
            out = out * np.float32(self.input_scale[in_])
        return out

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Undo `preprocess`: a net's input (K, H', W') as an image, at the net's size."""
        self._known(in_)
        out = np.array(data, dtype=np.float32)
        if out.ndim == 4 and len(out) == 1:  # one image's blob
            out = out[0]
        if self.input_scale.get(in_) is not None:
            out = out / np.float32(self.input_scale[in_])
        if self.mean.get(in_) is not None:
            out = out + self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            out = out / np.float32(self.raw_scale[in_])
        if self.channel_swap.get(in_) is not None:
            out = out[np.argsort(self.channel_swap[in_]), :, :]
        if self.transpose.get(in_) is not None:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out
