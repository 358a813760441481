"""A Datum's pixels: its bytes, its floats, or the image that it holds encoded."""

import math

import cv2
import numpy as np

from caffe import encoded_image
from caffe.images import ShapeError
from caffe.proto import caffe_pb2


def numbers(datum: caffe_pb2.Datum, where: str, floats: type = np.float32) -> np.ndarray:
    """The numbers of a Datum that is not encoded.

    Parameters
    ----------
    datum : Datum
    where : str
        Names the record in the error.
    floats : type
        The dtype for float_data.

    Returns
    -------
    ndarray of shape (C, H, W)
        uint8 from its bytes (a view that cannot be written), or `floats` from float_data.

    Raises
    ------
    ShapeError
        Its channels, height and width do not fit its numbers.
    """
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        flat = np.frombuffer(datum.data, dtype=np.uint8)
    else:
        flat = np.array(datum.float_data, dtype=floats)
    if min(shape) < 0 or flat.size != math.prod(shape):
        raise ShapeError(
            f"{where} declares the shape {shape} (channels, height, width) but holds {flat.size}"
            " numbers"
        )
    return flat.reshape(shape)


def pixels(datum: caffe_pb2.Datum, where: str, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """The pixels of a Datum; an encoded image is decoded.

    Parameters
    ----------
    datum : Datum
    where : str
        Names the record in errors.
    flags : int
        OpenCV's IMREAD flags for an encoded image; by default it keeps its own number of channels.

    Returns
    -------
    ndarray of shape (H, W, C)
        uint8, in B, G, R where it has colour, or float32 from float_data.

    Raises
    ------
    CaffeError
        The image cannot be decoded, or has more than 8 bits per channel; or the numbers do not fit
        the shape (see `numbers`).
    """
    if datum.encoded:
        return encoded_image.decode_8_bits(datum.data, flags, where)
    return numbers(datum, where).transpose(1, 2, 0)
