"""Images for caffe.io: read, resized as scikit-image 0.26 does, cut into ten crops."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from scipy import ndimage

from caffe import encoded_image, regular_file
from caffe.error import CaffeError

LUMINANCE = (0.2125, 0.7154, 0.0721)  # scikit-image's weights of R, G, B
MODES = {
    "constant": "grid-constant",
    "edge": "nearest",
    "symmetric": "reflect",
    "reflect": "mirror",
    "wrap": "grid-wrap",
}


class ShapeError(CaffeError, ValueError):
    """An array whose shape does not fit; pycaffe raises ValueError."""


def as_float(image: np.ndarray) -> np.ndarray:
    """Integers divided by their type's maximum (255, 65535), at least -1; floats unchanged."""
    image = np.asarray(image)
    if image.dtype.kind == "f":
        return image
    if image.dtype.kind == "b":
        return image.astype(float)
    return np.maximum(image / float(np.iinfo(image.dtype).max), -1)


def _read(file: Path | str | BinaryIO):
    """The bytes of a file, given by its path or opened, and its name."""
    if hasattr(file, "read"):
        return file.read(), getattr(file, "name", "the file object")
    with regular_file.open_regular(file) as f:
        return f.read(), os.fsdecode(file)


def load_image(filename: Path | str | BinaryIO, color: bool = True) -> np.ndarray:
    """Read an image as pycaffe's scripts expect it.

    Parameters
    ----------
    filename : path, or file object opened for bytes
        8 or 16 bits per channel; an alpha channel is dropped.
    color : bool
        Three channels (those of a grey image are equal), or one: 0.2125 R + 0.7154 G + 0.0721 B.

    Returns
    -------
    ndarray of float32, shape (H, W, 3) in R, G, B, or (H, W, 1); 0 to 1

    Raises
    ------
    CaffeError
        The file is missing, or it is not an image that OpenCV can decode.
    """
    data, name = _read(filename)
    image = as_float(encoded_image.decode(data, cv2.IMREAD_UNCHANGED, name))
    if image.ndim == 2 or image.shape[2] < 3:
        grey = image.reshape(*image.shape[:2], -1)[:, :, :1]
        return np.repeat(grey, 3 if color else 1, axis=2).astype(np.float32)
    image = image[:, :, 2::-1]  # B G R A to R G B
    if not color:
        image = (image @ np.array(LUMINANCE))[:, :, np.newaxis]
    return np.ascontiguousarray(image, dtype=np.float32)


def resize(
    image: np.ndarray,
    output_shape: tuple[int, ...],
    order: int | None = None,
    mode: str = "reflect",
    cval: float = 0,
    clip: bool = True,
    preserve_range: bool = False,
    anti_aliasing: bool | None = None,
    anti_aliasing_sigma: float | tuple[float, ...] | None = None,
) -> np.ndarray:
    """Resize an array as ``skimage.transform.resize`` 0.26 does.

    pycaffe's io module exports that function.  Axes that shrink are smoothed first, by a Gaussian
    of sigma (factor - 1) / 2.  Pixel centres are at half-integers.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, K), or of more axes
    output_shape : tuple of int
        One number per axis; if the last is left out, the channels stay.
    order : int, optional
        0 nearest, 1 bilinear (the default, except for booleans), 2 to 5 splines.
    mode : {'reflect', 'constant', 'edge', 'symmetric', 'wrap'}
        The values outside the image; for 'constant' they are `cval`.
    clip : bool
        Keep the result within the values of the image.
    preserve_range : bool
        Do not divide integers by the largest value of their type.
    anti_aliasing : bool, optional
        Smooth axes that shrink; by default True, except for booleans and integers of order 0.
    anti_aliasing_sigma : float or tuple of float, optional

    Returns
    -------
    ndarray of float32 for images of float32 or float16, of float64 for others; of the image's own
    type if `order` is 0

    Raises
    ------
    ShapeError
        `output_shape` does not fit the image, the image is empty, or the mode or order is unknown.
    """
    image, output_shape = np.asarray(image), tuple(int(d) for d in output_shape)
    kind = image.dtype.kind
    if len(output_shape) == image.ndim - 1:
        output_shape += image.shape[-1:]
    image = image.reshape(image.shape + (1,) * (len(output_shape) - image.ndim))
    if len(output_shape) < image.ndim or min(output_shape, default=0) < 1 or not image.size:
        raise ShapeError(f"an array of shape {image.shape} cannot be resized to {output_shape}")
    if order is None:
        order = 0 if kind == "b" else 1
    if mode not in MODES or order not in range(6) or (kind == "b" and order):
        raise ShapeError(f"cannot resize {image.dtype} with mode '{mode}' and order {order}")
    factors = np.divide(image.shape, output_shape)
    if anti_aliasing is None:
        anti_aliasing = (
            kind != "b" and not (kind in "iu" and order == 0) and bool((factors > 1).any())
        )
    if image.dtype == np.float16:
        image = image.astype(np.float32)
    if order:
        image = (
            image.astype(float) if preserve_range and image.dtype.kind != "f" else as_float(image)
        )
    smooth = image
    if anti_aliasing:
        sigma = (
            np.maximum(0, (factors - 1) / 2) if anti_aliasing_sigma is None else anti_aliasing_sigma
        )
        smooth = ndimage.gaussian_filter(image, sigma, mode=MODES[mode], cval=cval)
    out = ndimage.zoom(
        smooth, 1 / factors, order=order, mode=MODES[mode], cval=cval, grid_mode=True
    )
    if clip:
        low, high = np.nanmin(image), np.nanmax(image)
        # `cval` counts as one of the image's values
        if mode == "constant" and np.nanmin(out) <= cval <= np.nanmax(out):
            low, high = min(low, image.dtype.type(cval)), max(high, image.dtype.type(cval))
        out = np.clip(out, low, high)
    return out


def resize_image(im: np.ndarray, new_dims: tuple[int, int], interp_order: int = 1) -> np.ndarray:
    """Resize an image as pycaffe does.

    One or three channels: stretched to 0..1, resized with zeros outside (see `resize`), stretched
    back.  Other numbers of channels: scipy's zoom, without smoothing.

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

    Raises
    ------
    ShapeError
        `im` does not have three axes, or is empty.
    """
    im = np.asarray(im)
    height, width = (int(d) for d in new_dims)
    if im.ndim != 3 or not im.size or min(height, width) < 1:
        raise ShapeError(
            f"an image of shape {im.shape} cannot be resized to {height} x {width}; expected"
            " (H, W, K)"
        )
    if im.shape[2] not in (1, 3):
        zoomed = ndimage.zoom(
            im, (height / im.shape[0], width / im.shape[1], 1), order=interp_order
        )
        return zoomed.astype(np.float32)
    low, high = (im.dtype.type(f(im)) for f in (np.min, np.max))
    if not high > low:
        return np.full((height, width, im.shape[2]), low, dtype=np.float32)
    if im.dtype.kind != "f":
        im, low, high = im.astype(float), float(low), float(high)
    out = resize((im - low) / (high - low), (height, width), order=interp_order, mode="constant")
    return (out * (high - low) + low).astype(np.float32)


def oversample(images: Sequence[np.ndarray], crop_dims: tuple[int, int]) -> np.ndarray:
    """The ten crops of each image: four corners and the middle, and their mirror images.

    Parameters
    ----------
    images : sequence of ndarray of shape (H, W, K), all of one shape
    crop_dims : (int, int)
        Height, width.

    Returns
    -------
    ndarray of float32, shape (10 * n_images, height, width, K)
        Per image: top left, top right, bottom left, bottom right, middle, then the mirrored five.

    Raises
    ------
    ShapeError
        The crops are larger than the images.
    """
    height, width = (int(d) for d in crop_dims)
    rows, columns = images[0].shape[:2]
    if height > rows or width > columns:
        raise ShapeError(
            f"crops of {height} x {width} are larger than the images of {rows} x {columns}"
        )
    corners = [(y, x) for y in (0, rows - height) for x in (0, columns - width)]
    corners.append(((rows - height) // 2, (columns - width) // 2))
    crops = []
    for image in images:
        five = [image[y : y + height, x : x + width] for y, x in corners]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.array(crops, dtype=np.float32)
