"""caffe.io: images and protos to NumPy and back, as pycaffe's io module names them."""

import os

import cv2
import numpy as np

from caffe import regular_file
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
    regular_file.check(path)
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


def load_image(filename, color=True):
    """Read an image as pycaffe's scripts expect it.

    Parameters
    ----------
    filename : str
    color : bool
        Three channels, or one.

    Returns
    -------
    ndarray of float32, shape (H, W, 3) in R, G, B, or (H, W, 1); 0 to 1

    Raises
    ------
    CaffeError
        The file is missing or no image.
    """
    flags = cv2.IMREAD_COLOR if color else cv2.IMREAD_GRAYSCALE
    image = cv2.imread(os.fspath(filename), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise CaffeError(f"{os.fspath(filename)}: is missing or no image that OpenCV can decode")
    image = image[:, :, ::-1] if color else image[:, :, np.newaxis]
    return image.astype(np.float32) / 255


def resize_image(im, new_dims, interp_order=1):
    """Resize an image as pycaffe does, which leaves it to scikit-image (here: the steps of its version 0.26).

    One or three channels: stretched to 0..1, smoothed by a Gaussian of sigma (factor - 1) / 2 along axes that shrink,
    interpolated with pixel centres at half-integers and zeros outside, stretched back.  Other numbers of channels:
    scipy's zoom, without smoothing.

    Parameters
    ----------
    im : ndarray of shape (H, W, K)
    new_dims : (int, int)
        Height, width.
    interp_order : int
        0 nearest, 1 bilinear, 2 to 5 splines.

    Returns
    -------
    ndarray of float32, shape (height, width, K)
    """
    from scipy import ndimage

    im = np.asarray(im).astype(np.float32, copy=False)
    size = np.array(im.shape[:2], dtype=float)
    new_dims = np.array([int(d) for d in new_dims])
    if im.shape[2] not in (1, 3):
        zoomed = ndimage.zoom(im, (*(new_dims / size), 1), order=interp_order)
        return zoomed.astype(np.float32, copy=False)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((*new_dims, im.shape[2]), low, dtype=np.float32)
    out = (im - low) / (high - low)
    factors = size / new_dims
    if (factors > 1).any():
        out = ndimage.gaussian_filter(out, (*np.maximum(0, (factors - 1) / 2), 0), mode="constant")
    out = ndimage.zoom(out, (*(1 / factors), 1), order=interp_order, mode="grid-constant", grid_mode=True)
    return np.clip(out, 0, 1) * (high - low) + low


def oversample(images, crop_dims):
    """The ten crops of each image: four corners and the middle, and their mirror images.

    Parameters
    ----------
    images : sequence of ndarray of shape (H, W, K), all of one shape
    crop_dims : (int, int)
        Height, width.

    Returns
    -------
    ndarray of float32, shape (10 * n_images, height, width, K)
        Of each image: top left, top right, bottom left, bottom right, middle, then the mirrored five.
    """
    height, width = (int(d) for d in crop_dims)
    rows, columns = images[0].shape[:2]
    corners = [(y, x) for y in (0, rows - height) for x in (0, columns - width)]
    corners.append((int((rows - height) / 2.0), int((columns - width) / 2.0)))
    crops = []
    for image in images:
        five = [image[y : y + height, x : x + width] for y, x in corners]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.array(crops, dtype=np.float32)


class Transformer:
    """Images (H, W, K) to a net's input (K, H', W') and back, a setting an input blob.

    `preprocess` resizes, transposes, swaps channels, scales (raw_scale), subtracts the mean, scales (input_scale), in this
    order; `deprocess` goes back.

    Parameters
    ----------
    inputs : dict
        {input blob: its shape (N, K, H', W')}.
    """

    def __init__(self, inputs):
        self.inputs = inputs
        self.transpose, self.channel_swap, self.raw_scale, self.mean, self.input_scale = {}, {}, {}, {}, {}

    @classmethod
    def of(cls, net, mean=None, input_scale=None, raw_scale=None, channel_swap=None):
        """A Transformer for a net's first input and images (H, W, K), with the settings that are given."""
        name = net.inputs[0]
        made = cls({name: net.blobs[name].data.shape})
        made.set_transpose(name, (2, 0, 1))
        settings = {"mean": mean, "input_scale": input_scale, "raw_scale": raw_scale, "channel_swap": channel_swap}
        for setting, value in settings.items():
            if value is not None:
                getattr(made, f"set_{setting}")(name, value)
        return made

    def _known(self, in_):
        if in_ not in self.inputs:
            raise CaffeError(f"{in_} is not one of the net inputs: {list(self.inputs)}")

    def set_transpose(self, in_, order):
        """Order of the axes, e.g. (2, 0, 1) for (H, W, K) to (K, H, W)."""
        self._known(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise CaffeError("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_, order):
        """Order of the channels after the transposition, e.g. (2, 1, 0) for R G B to B G R."""
        self._known(in_)
        if len(order) != self.inputs[in_][1]:
            raise CaffeError("Channel swap needs to have the same number of dimensions as the input channels.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_, scale):
        """Factor before the mean is subtracted, e.g. 255 for images of 0 to 1."""
        self._known(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_, mean):
        """What is subtracted: (K,), (H, W) or (K, H, W) in the net's channel order; a mean image is resized to the input."""
        self._known(in_)
        mean, shape = np.asarray(mean, dtype=np.float32), tuple(self.inputs[in_][1:])
        if mean.ndim == 1:
            if mean.shape[0] not in (1, shape[0]):
                raise CaffeError(f"Mean channels incompatible with input: {mean.shape[0]} for {shape[0]} channels.")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            if mean.ndim == 2:
                mean = mean[np.newaxis]
            if mean.ndim != 3 or mean.shape[0] not in (1, shape[0]):
                raise CaffeError(f"Mean shape invalid: {mean.shape} for an input of {shape}.")
            if mean.shape[1:] != shape[1:]:
                mean = resize_image(mean.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_, scale):
        """Factor after the mean was subtracted."""
        self._known(in_)
        self.input_scale[in_] = scale

    def preprocess(self, in_, data):
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

    def deprocess(self, in_, data):
        """A net's input (K, H', W') as the image it came from, at the net's size: the steps of preprocess undone."""
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
