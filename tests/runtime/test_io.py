"""caffe.io: the Transformer step by step, images, crops, protos."""

import cv2
import numpy as np
import pytest

import caffe
from caffe import io
from caffe.proto import caffe_pb2


def transformer(shape=(1, 3, 2, 2)):
    return io.Transformer({"data": shape})


def test_preprocess_by_hand():
    t = transformer()
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([10, 20, 30]))
    t.set_input_scale("data", 0.5)
    image = np.zeros((2, 2, 3), dtype=np.float32)
    image[0, 1] = (1, 0.2, 0)  # R, G, B
    out = t.preprocess("data", image)
    assert out.shape == (3, 2, 2) and out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0, 1], [(0 - 10) / 2, (51 - 20) / 2, (255 - 30) / 2])
    np.testing.assert_allclose(t.deprocess("data", out), image, atol=1e-6)
    np.testing.assert_allclose(t.deprocess("data", out[np.newaxis]), image, atol=1e-6)


def test_enlarging_by_hand():
    """Pixel centres at half-integers, zeros outside."""
    out = io.resize_image(np.array([[[0], [4]]], dtype=np.float32), (1, 4))
    np.testing.assert_allclose(out[0, :, 0], [0, 1, 3, 3], rtol=1e-6)


def test_images_are_resized_to_the_input():
    t = transformer((1, 1, 2, 4))
    t.set_transpose("data", (2, 0, 1))
    image = np.random.default_rng(0).random((4, 8, 1), dtype=np.float32)
    np.testing.assert_array_equal(t.preprocess("data", image)[0], io.resize_image(image, (2, 4))[:, :, 0])


def test_as_recorded(golden):
    found = np.load(golden / "data" / "transformer.npz")
    image = io.load_image(str(golden / "data" / "images" / str(found["image_file"])))
    np.testing.assert_array_equal(image, found["load_image"])
    np.testing.assert_allclose(io.resize_image(image, (30, 33)), found["resize_image"], atol=1e-6)
    np.testing.assert_array_equal(io.oversample([image], (32, 40)), found["oversample"])
    t = transformer((1, 3, 40, 44))
    t.set_transpose("data", (2, 0, 1))
    t.set_channel_swap("data", (2, 1, 0))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([104, 117, 123]))
    t.set_input_scale("data", 0.017)
    np.testing.assert_allclose(t.preprocess("data", image), found["preprocess_resized"], atol=1e-5)
    same = found["preprocess_same_size"]
    np.testing.assert_allclose(t.deprocess("data", same), found["deprocess_of_same_size"], atol=1e-6)
    np.testing.assert_allclose(t.preprocess("data", found["deprocess_of_same_size"]), same, atol=1e-5)


def test_mean_images():
    t = transformer()
    t.set_mean("data", np.arange(12).reshape(3, 2, 2))
    np.testing.assert_array_equal(t.mean["data"][2], [[8, 9], [10, 11]])
    t.set_mean("data", np.full((3, 4, 4), 7))
    np.testing.assert_array_equal(t.mean["data"], np.full((3, 2, 2), 7))
    t.set_mean("data", np.ones((2, 2)))
    assert t.mean["data"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    "setting, value",
    [
        ("set_mean", np.zeros(2)),
        ("set_mean", np.zeros((4, 2, 2))),
        ("set_transpose", (1, 0)),
        ("set_channel_swap", (0, 1)),
    ],
)
def test_refused(setting, value):
    with pytest.raises(caffe.CaffeError):
        getattr(transformer(), setting)("data", value)
    with pytest.raises(caffe.CaffeError, match="not one of the net inputs"):
        getattr(transformer(), setting)("other", value)


def test_load_image(tmp_path):
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[0, 1] = (255, 51, 0)  # B, G, R
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    image = io.load_image(str(tmp_path / "a.png"))
    assert image.shape == (2, 3, 3) and image.dtype == np.float32
    np.testing.assert_allclose(image[0, 1], [0, 0.2, 1])
    assert io.load_image(str(tmp_path / "a.png"), color=False).shape == (2, 3, 1)
    with pytest.raises(caffe.CaffeError, match="b.png"):
        io.load_image(str(tmp_path / "b.png"))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resizing_a_flat_image_leaves_it_flat(order, channels):
    out = io.resize_image(np.full((5, 7, channels), 0.25), (3, 11), interp_order=order)
    assert out.shape == (3, 11, channels) and out.dtype == np.float32
    np.testing.assert_allclose(out, 0.25, rtol=1e-6)


def test_oversample():
    image = np.arange(30, dtype=np.float32).reshape(5, 6, 1)
    crops = io.oversample([image, image + 100], (2, 3))
    assert crops.shape == (20, 2, 3, 1)
    assert crops[:5, 0, 0, 0].tolist() == [0, 3, 18, 21, 7]
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], crops[:10] + 100)


def test_protos_there_and_back():
    array = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    datum = io.array_to_datum(array, 4)
    assert datum.label == 4 and datum.data == bytes(range(6))
    np.testing.assert_array_equal(io.datum_to_array(datum), array)
    np.testing.assert_array_equal(io.datum_to_array(io.array_to_datum(array / 2.0)), array / 2.0)
    blob = io.array_to_blobproto(array, diff=array + 1)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), array + 1)
    old = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=1, data=[5, 6])
    assert io.blobproto_to_array(old).shape == (1, 1, 2, 1)
