"""Image file -> the network's input, the same way for training, features and retrieval (D6).

An image is decoded, warped to a square (`SIDE`, or `stored_side` of another crop) and cropped.
The LMDBs keep the square as a JPEG (`stored`).
"""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from texttopicnet import files
from texttopicnet.errors import UserError

SIDE = 256  # images are warped to SIDE x SIDE before the crop
CROP = 227  # CaffeNet's input
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # ImageNet's mean, as in the prototxts
JPEG_QUALITY = 95
# 300 MB decoded; the header is read first, so that no file can fill the memory
MOST_PIXELS = 100_000_000
COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
# Pillow's names of the kinds other than JPEG and PNG
OTHER_KINDS = ("BMP", "GIF", "JPEG2000", "PPM", "TIFF", "WEBP")


def size(data: bytes) -> tuple[int, int] | None:
    """Height and width that an image file's header declares.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    tuple of int or None
        None for bytes that are not an image of a known kind.
    """
    if data.startswith(b"\xff\xd8"):
        frame = _jpeg_frame(data)
        return frame and frame[:2]
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
        return height, width
    return _other_size(data)


def _other_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of an image of the rarer kinds, by Pillow's header readers; None for
    anything else.
    """
    from PIL import Image

    Image.init()
    for kind in OTHER_KINDS:
        reader, accepts = Image.OPEN[kind]
        if not accepts or accepts(data[:16]):
            try:  # not Image.open, which has size limits at which it warns and raises
                with reader(io.BytesIO(data), "") as image:
                    return image.height, image.width
            except Exception:  # a damaged header fails in many ways
                continue
    return None


def _jpeg_frame(data: bytes) -> tuple[int, int, int] | None:
    """Height, width and number of colour components in a JPEG's frame header; None if there is none
    before the first scan.
    """
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at + 8 > len(data):
            break
        marker = data[at]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components = data[at + 8] if at + 8 < len(data) else 0
            return *struct.unpack_from(">HH", data, at + 4), components
        if marker in (0xD9, 0xDA):  # end of image, start of scan
            break
        at += 1
        if marker not in (0x00, 0x01, *range(0xD0, 0xD9)):  # the others carry a length
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def decode(data: bytes, where: Path | str, flags: int = COLOUR) -> np.ndarray:
    """Decode an image file's bytes.

    Grey, CMYK and palette images become BGR; an animation gives its first picture.  A camera's
    orientation tag is ignored, as Caffe's OpenCV and the original's PIL do.

    Parameters
    ----------
    data : bytes
    where : str or Path
        The file, for the error.
    flags : int
        OpenCV's IMREAD flags.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        BGR.

    Raises
    ------
    UserError
        The bytes are not an image that OpenCV can decode, or it has more than `MOST_PIXELS` pixels.
    """
    image, where = None, files.printable(where)
    height, width = size(data) or (0, 0)
    if height * width > MOST_PIXELS:
        raise UserError(
            f"{where}: its header declares {width} x {height} pixels, more than {MOST_PIXELS:,};"
            " make it smaller or leave it out"
        )
    if height * width:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        raise UserError(
            f"{where} is not an image that OpenCV can decode; repair it or leave it out"
        )
    return image


def read_image(path: Path | str) -> np.ndarray:
    """Read an image file as uint8 (H, W, 3), BGR; see `decode`."""
    return decode(files.read(path), path)


def resized(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Warp an image to side x side as Caffe's convert_imageset does: bilinear, without
    antialiasing.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    side : int

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)
    """
    if image.shape[:2] == (side, side):
        return image
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)


def stored_side(crop: int) -> int:
    """Side of the square to which images are warped, and in which they are stored, for a net with
    an input of `crop` pixels: 256 for 227, and in proportion for others.
    """
    return round(crop * SIDE / CROP)


def encoded(image: np.ndarray) -> bytes:
    """An image as a JPEG of quality 95."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"OpenCV cannot encode an image of shape {image.shape}")
    return data.tobytes()


def stored(data: bytes, where: Path | str, side: int = SIDE) -> bytes:
    """An image file as the LMDBs keep it: a colour JPEG of side x side pixels.

    A file that already is one is kept byte for byte.

    Parameters
    ----------
    data : bytes
        The file.
    where : str or Path
        Its name, for the error.
    side : int

    Raises
    ------
    UserError
        As `decode`.
    """
    image = decode(data, where)
    if image.shape[:2] == (side, side) and _is_colour_jpeg(data):
        return data
    return encoded(resized(image, side))


def _is_colour_jpeg(data: bytes) -> bool:
    """Whether Caffe, which keeps a file's own number of channels, would decode three channels.

    A JPEG with four components is CMYK, which other decoders read differently.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    own = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    frame = _jpeg_frame(data)
    has_three = own is not None and own.ndim == 3 and own.shape[2] == 3
    return bool(has_three and frame and frame[2] == 3)


def network_input(
    image: np.ndarray, crop: int = CROP, mean_bgr: Sequence[float] = MEAN_BGR
) -> np.ndarray:
    """The net's input in TEST: warped, cropped in the middle, mean subtracted.

    The crop's offset is floor((side - crop) / 2).

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        BGR.
    crop : int
        The net's input size.
    mean_bgr : sequence of 3 floats

    Returns
    -------
    ndarray of float32, shape (3, crop, crop)
        Channels B, G, R; about -124 to 151.
    """
    side = stored_side(crop)
    start = (side - crop) // 2
    middle = resized(image, side)[start : start + crop, start : start + crop]
    return (middle.astype(np.float32) - np.array(mean_bgr, np.float32)).transpose(2, 0, 1)
