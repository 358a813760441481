"""Image file -> the network's input: the one way in which training, features and retrieval see an
image (D6).
"""

import io
import struct

import cv2
import numpy as np

from texttopicnet import files
from texttopicnet.errors import UserError

SIDE = 256  # images are warped to SIDE x SIDE before the crop
CROP = 227  # what CaffeNet takes
MEAN_BGR = (104.00699, 116.66877, 122.67892)  # ImageNet's mean, as in the prototxts
JPEG_QUALITY = 95
# of an image that is decoded, 300 MB; its header is asked first, so that no file fills the memory
MOST_PIXELS = 100_000_000
COLOUR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
OTHER_KINDS = (
    "BMP",
    "GIF",
    "JPEG2000",
    "PPM",
    "TIFF",
    "WEBP",
)  # besides JPEG and PNG, as Pillow calls them


def stored_side(crop):
    """Side in pixels at which images are stored for a net that takes `crop` pixels: as much larger
    as `SIDE` is than `CROP`.
    """
    return (crop * SIDE + CROP // 2) // CROP


def size(data):
    """Height and width that an image file's header declares.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    tuple of int or None
        None for what is not an image of a known kind.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
        return height, width
    return _other_size(data)


def _other_size(data):
    """Height and width of an image of the rarer kinds, by Pillow's readers of headers; None if it
    is none of them.
    """
    from PIL import Image

    Image.init()
    for kind in OTHER_KINDS:
        reader, accepts = Image.OPEN[kind]
        if not accepts or accepts(data[:16]):
            try:  # not Image.open, which warns and raises at sizes of its own choice
                with reader(io.BytesIO(data), "") as image:
                    return image.height, image.width
            except Exception:  # a damaged header fails in many ways
                continue
    return None


def _jpeg_size(data):
    """Height and width in a JPEG's frame header; None if it has none before its first scan."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        while at < len(data) and data[at] == 0xFF:
            at += 1
        if at + 8 > len(data):
            break
        marker = data[at]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack_from(">HH", data, at + 4)
        if marker in (0xD9, 0xDA):  # end of image, start of scan
            break
        at += 1
        if marker not in (0x00, 0x01, *range(0xD0, 0xD9)):  # the others carry a length
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def decode(data, where, flags=COLOUR):
    """Decode an image file's bytes.

    Grey, CMYK and palette images become BGR; of an animation the first picture counts.  A camera's
    orientation tag is ignored: Caffe's OpenCV ignored it, and the original's PIL does so.

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
        The bytes are not an image that OpenCV can decode, or one of more than `MOST_PIXELS` pixels.
    """
    image, where = None, files.printable(where)
    height, width = size(data) or (0, 0)
    if height * width > MOST_PIXELS:
        raise UserError(
            f"{where}: its header declares {width} x {height} pixels, more than {MOST_PIXELS:,}; make it smaller or leave it out"
        )
    if height * width:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        raise UserError(
            f"{where}: is not an image that OpenCV can decode; repair it or leave it out"
        )
    return image


def read_image(path):
    """Read an image file as uint8 (H, W, 3), BGR; see `decode`."""
    return decode(files.read(path), path)


def resized(image, side=SIDE):
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


def resized_side(crop):
    """The side an image is warped to before a crop of `crop` pixels is taken: 256 for 227, in
    proportion for other nets.
    """
    return round(crop * SIDE / CROP)


def encoded(image):
    """An image as JPEG bytes of quality 95."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"OpenCV cannot encode an image of shape {image.shape}")
    return data.tobytes()


def network_input(image, crop=CROP, mean_bgr=MEAN_BGR):
    """What the net is fed in TEST: warped, cropped in the middle (offset floor((side - crop) / 2)),
    mean subtracted.

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
    side = resized_side(crop)
    start = (side - crop) // 2
    middle = resized(image, side)[start : start + crop, start : start + crop]
    return (middle.astype(np.float32) - np.array(mean_bgr, np.float32)).transpose(2, 0, 1)
