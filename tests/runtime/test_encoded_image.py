"""Images are decoded only if their header declares a size that a file of this length can hold."""

import struct

import cv2
import numpy as np
import pytest

import caffe
from caffe.encoded_image import MOST_PIXELS, declared_size, decode

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(end):
    return cv2.imencode(end, IMAGE)[1].tobytes()


@pytest.mark.parametrize("end", [".png", ".jpg", ".bmp", ".gif"])
def test_the_declared_size(end):
    assert declared_size(encoded(end)) == (5, 7)


def test_a_whole_image_is_decoded():
    np.testing.assert_array_equal(decode(encoded(".png"), cv2.IMREAD_UNCHANGED, "x"), IMAGE)
    np.testing.assert_array_equal(decode(encoded(".tiff"), cv2.IMREAD_UNCHANGED, "x"), IMAGE)


def with_size(end, width, height):
    data = bytearray(encoded(end))
    if end == ".png":
        data[16:24] = struct.pack(">II", width, height)
    elif end == ".bmp":
        data[18:26] = struct.pack("<ii", width, height)
    else:
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("end", [".png", ".bmp", ".jpg"])
@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (40_000, 40_000)])
def test_a_header_of_too_many_pixels(end, width, height):
    assert width * height > MOST_PIXELS
    with pytest.raises(
        caffe.CaffeError,
        match=f"^record 3 holds an image of {width} x {height} pixels; images of more than"
        " 100,000,000 are not decoded$",
    ):
        decode(with_size(end, width, height), cv2.IMREAD_COLOR, "record 3")


def test_what_cannot_be_decoded():
    cut = bytearray(encoded(".png"))
    cut[33:37] = struct.pack(">I", 2**31 - 1)  # the length of the chunk after IHDR
    for data in (
        b"",
        b"text",
        bytes(cut),
        encoded(".png")[:-20],
        with_size(".png", 9000, 9000),
        encoded(".jpg")[:100],
    ):
        with pytest.raises(
            caffe.CaffeError, match=r"^record 3 does not hold an image that OpenCV can decode"
        ):
            decode(data, cv2.IMREAD_COLOR, "record 3")
