"""caffe.io: images and protos to NumPy and back, as pycaffe's io module names them."""

import os

import numpy as np

from caffe.error import CaffeError
from caffe.proto import caffe_pb2


def blobproto_to_array(blob, return_diff=False):
    """A BlobProto as an ndarray of float32, in its shape (old files: num, channels, height, width)."""
    values = np.array(blob.diff if return_diff else blob.data, dtype=np.float32)
    if blob.HasField("shape"):
        return values.reshape(tuple(blob.shape.dim))
    return values.reshape(blob.num, blob.channels, blob.height, blob.width)


def array_to_blobproto(array, diff=None):
    """An ndarray as a BlobProto."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(np.asarray(array, dtype=np.float32).ravel().tolist())
    if diff is not None:
        blob.diff.extend(np.asarray(diff, dtype=np.float32).ravel().tolist())
    return blob


def read_mean_file(path):
    """The mean image of a .binaryproto: float32 (C, H, W), BGR.

    Raises
    ------
    CaffeError
        The file is missing or no BlobProto.
    """
    blob = caffe_pb2.BlobProto()
    try:
        with open(path, "rb") as f:
            blob.ParseFromString(f.read())
        array = blobproto_to_array(blob)
    except OSError as error:
        raise CaffeError(f"{os.fspath(path)}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's DecodeError, by a name that changes between its versions
        raise CaffeError(f"{os.fspath(path)}: is no mean file (a BlobProto of C x H x W values)") from error
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 3:
        raise CaffeError(f"{os.fspath(path)}: holds an array of shape {array.shape}, a mean image is C x H x W")
    return array


def array_to_datum(array, label=None):
    """An image (C, H, W) as a Datum: bytes if it is uint8, float_data otherwise."""
    if array.ndim != 3:
        raise ValueError("Incorrect array shape.")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = array.shape
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum):
    """A Datum (not encoded) as an image (C, H, W): uint8, or float for float_data."""
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        return np.frombuffer(datum.data, dtype=np.uint8).reshape(shape)
    return np.array(datum.float_data).astype(float).reshape(shape)
