"""Decoding the bytes of image files, with a limit on the size that a header may declare.

Without the limit, a damaged header could fill the memory.
"""

import struct

import cv2
import numpy as np

from caffe.error import CaffeError

PNG = b"\x89PNG\r\n\x1a\n"
MOST_PIXELS = 100_000_000  # 300 MB at three bytes per pixel
DEFLATE = 1032  # a PNG's compression shrinks data by this factor at most


def decode(data: bytes, flags: int, where: str) -> np.ndarray:
    """Decode an image.

    Parameters
    ----------
    data : bytes
        A whole image file.
    flags : int
        OpenCV's IMREAD flags.
    where : str
        Names the record or file in the error.

    Returns
    -------
    ndarray
        As cv2.imdecode gives it.

    Raises
    ------
    CaffeError
        The bytes are not an image that OpenCV can decode, or one of more than `MOST_PIXELS` pixels.
    """
    height, width = declared_size(data) or (0, 0)
    if height * width > MOST_PIXELS:
        raise CaffeError(
            f"{where} holds an image of {width} x {height} pixels; images of more than"
            f" {MOST_PIXELS:,} are not decoded"
        )
    image = None
    if not data.startswith(PNG) or (
        height * width <= 8 * DEFLATE * len(data) and _chunks_fit(data)
    ):
        try:
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        except cv2.error:  # `data` is empty, or OpenCV refuses the header
            image = None
    if image is None:
        raise CaffeError(f"{where} does not hold an image that OpenCV can decode")
    return image


def decode_8_bits(data: bytes, flags: int, where: str) -> np.ndarray:
    """Decode an image of 8 bits per channel, as the data layers need it.

    Parameters and errors are those of `decode`; more than 8 bits are an error, too.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
    """
    image = decode(data, flags, where)
    if image.dtype != np.uint8:
        raise CaffeError(f"{where} is an image of {image.dtype}; Caffe reads 8 bits per channel")
    return np.atleast_3d(image)


def declared_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) in the header of a PNG, JPEG, BMP or GIF; None for anything else."""
    if data.startswith(PNG) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
    elif data.startswith(b"BM") and len(data) >= 26:
        width, height = struct.unpack_from("<ii", data, 18)
        if struct.unpack_from("<I", data, 14)[0] == 12:  # OS/2's header
            width, height = struct.unpack_from("<HH", data, 18)
    elif data.startswith(b"GIF8") and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
    elif data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    else:
        return None
    return abs(height), abs(width)


def _chunks_fit(data: bytes):
    """Whether the chunks of a PNG end within the data.

    OpenCV allocates as many bytes as a chunk declares, however few there are.
    """
    at = len(PNG)
    while at + 12 <= len(data):
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return at <= len(data)


def _jpeg_size(data: bytes):
    """The largest (height, width) in a JPEG's frame headers before its first scan."""
    largest, at = None, 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xDA:  # start of scan
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            largest = max(
                largest or (0, 0),
                struct.unpack_from(">HH", data, at + 5),
                key=lambda size: size[0] * size[1],
            )
        has_length = marker not in (0x00, 0x01, 0xFF, *range(0xD0, 0xDA))
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big") if has_length else 1
    return largest
