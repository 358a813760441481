"""A Datum's pixels, as the data layers, caffe.io and compute_image_mean take them."""

import cv2
import numpy as np
import pytest

import caffe
from caffe import datum
from caffe.proto import caffe_pb2


def test_bytes():
    raw = caffe_pb2.Datum(channels=3, height=1, width=2, data=bytes([1, 2, 3, 4, 5, 6]))
    numbers = datum.numbers(raw, "r")
    assert numbers.dtype == np.uint8
    assert numbers.tolist() == [[[1, 2]], [[3, 4]], [[5, 6]]]
    assert datum.pixels(raw, "r").tolist() == [[[1, 3, 5], [2, 4, 6]]]


@pytest.mark.parametrize("floats", [np.float32, np.float64])
def test_floats(floats):
    raw = caffe_pb2.Datum(channels=2, height=1, width=1, float_data=[0.5, -3])
    numbers = datum.numbers(raw, "r", floats)
    assert numbers.dtype == floats
    assert numbers.tolist() == [[[0.5]], [[-3]]]
    assert datum.pixels(raw, "r").dtype == np.float32


def png(image):
    return caffe_pb2.Datum(data=cv2.imencode(".png", image)[1].tobytes(), encoded=True)


def test_encoded_images_keep_their_own_number_of_channels():
    colour = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    np.testing.assert_array_equal(datum.pixels(png(colour), "r"), colour)
    grey = np.array([[7, 8]], dtype=np.uint8)
    assert datum.pixels(png(grey), "r").tolist() == [[[7], [8]]]
    assert datum.pixels(png(grey), "r", cv2.IMREAD_COLOR).tolist() == [[[7, 7, 7], [8, 8, 8]]]


def test_16_bits_are_refused():
    with pytest.raises(caffe.CaffeError, match=r"^r is an image of uint16; Caffe reads 8 bits"):
        datum.pixels(png(np.zeros((2, 2), dtype=np.uint16)), "r")


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 2, 3), 7), ((1, 0, 3), 7), ((-1, -1, 1), 1), ((0, 0, 0), 1)]
)
def test_a_shape_that_does_not_fit_is_refused(shape, size):
    channels, height, width = shape
    raw = caffe_pb2.Datum(channels=channels, height=height, width=width, data=bytes(size))
    with pytest.raises(caffe.CaffeError) as caught:
        datum.pixels(raw, "r")
    assert str(caught.value) == (
        f"r declares the shape {shape} (channels, height, width) but holds {size} numbers"
    )
    assert isinstance(caught.value, ValueError)  # as pycaffe's datum_to_array raises
