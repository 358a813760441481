"""caffe.io: the Transformer step by step, images, crops, protos."""

from io import BytesIO

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
    assert out.shape == (3, 2, 2)
    assert out.dtype == np.float32
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
    np.testing.assert_array_equal(
        t.preprocess("data", image)[0], io.resize_image(image, (2, 4))[:, :, 0]
    )


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
    np.testing.assert_allclose(
        t.deprocess("data", same), found["deprocess_of_same_size"], atol=1e-6
    )
    np.testing.assert_allclose(
        t.preprocess("data", found["deprocess_of_same_size"]), same, atol=1e-5
    )


def test_mean_images():
    t = transformer()
    t.set_mean("data", np.arange(12).reshape(3, 2, 2))
    np.testing.assert_array_equal(t.mean["data"][2], [[8, 9], [10, 11]])
    t.set_mean("data", np.full((3, 4, 4), 7))
    np.testing.assert_array_equal(t.mean["data"], np.full((3, 2, 2), 7))
    t.set_mean("data", np.ones((2, 2)))
    assert t.mean["data"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("setting", "value"),
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


def write_png(path, pixels):
    """Pixels (H, W), or (H, W, 3) in R, G, B, or with alpha as fourth channel."""
    pixels = np.asarray(pixels)
    if pixels.ndim == 3:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    cv2.imwrite(str(path), pixels)
    return str(path)


def test_load_image(tmp_path):
    file = write_png(tmp_path / "a.png", np.array([[(0, 51, 255)] * 3] * 2, dtype=np.uint8))
    image = io.load_image(file)
    assert image.shape == (2, 3, 3)
    assert image.dtype == np.float32
    assert image.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(image[0, 1], [0, 0.2, 1])


def test_grey_weighs_red_green_and_blue_as_scikit_image_does(tmp_path):
    colours = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]], dtype=np.uint8)
    grey = io.load_image(write_png(tmp_path / "a.png", colours), color=False)
    assert grey.shape == (1, 4, 1)
    assert grey.dtype == np.float32
    np.testing.assert_allclose(grey[0, :, 0], [0.2125, 0.7154, 0.0721, 1], rtol=1e-6)


def test_sixteen_bits_are_kept(tmp_path):
    values = np.array([[0, 1, 40000, 65535]], dtype=np.uint16)
    file = write_png(tmp_path / "grey.png", values)
    np.testing.assert_allclose(io.load_image(file, color=False)[:, :, 0], values / 65535, rtol=1e-6)
    np.testing.assert_allclose(
        io.load_image(file), np.repeat(values[:, :, None] / 65535, 3, axis=2), rtol=1e-6
    )
    colour = write_png(tmp_path / "colour.png", np.array([[(1, 300, 65535)]], dtype=np.uint16))
    np.testing.assert_allclose(
        io.load_image(colour)[0, 0], np.array([1, 300, 65535]) / 65535, rtol=1e-6
    )
    luminance = (0.2125 * 1 + 0.7154 * 300 + 0.0721 * 65535) / 65535
    np.testing.assert_allclose(io.load_image(colour, color=False)[0, 0], luminance, rtol=1e-6)


def test_alpha_is_dropped_and_a_grey_image_has_three_equal_channels(tmp_path):
    rgba = np.array([[(255, 51, 0, 7)]], dtype=np.uint8)
    file = write_png(tmp_path / "rgba.png", rgba)
    np.testing.assert_allclose(io.load_image(file)[0, 0], [1, 0.2, 0])
    np.testing.assert_allclose(
        io.load_image(file, color=False)[0, 0], 0.2125 + 0.7154 * 0.2, rtol=1e-6
    )
    file = write_png(tmp_path / "grey.png", np.array([[51]], dtype=np.uint8))
    np.testing.assert_allclose(io.load_image(file), [[[0.2, 0.2, 0.2]]])
    np.testing.assert_allclose(io.load_image(file, color=False), [[[0.2]]])


def test_images_that_cannot_be_read(tmp_path):
    with pytest.raises(caffe.CaffeError, match=r"b.png: No such file"):
        io.load_image(str(tmp_path / "b.png"))
    (tmp_path / "b.png").write_text("not an image")
    with pytest.raises(
        caffe.CaffeError, match=r"b.png does not hold an image that OpenCV can decode"
    ):
        io.load_image(tmp_path / "b.png")
    with pytest.raises(caffe.CaffeError, match="is a folder"):
        io.load_image(str(tmp_path))
    for data in (b"", b"not an image"):
        with pytest.raises(
            caffe.CaffeError, match="the file object does not hold an image that OpenCV can decode"
        ):
            io.load_image(BytesIO(data))


def test_an_opened_file_is_read(tmp_path):
    """As BVLC's web demo does."""
    file = write_png(tmp_path / "a.png", np.array([[(255, 51, 0)]], dtype=np.uint8))
    with open(file, "rb") as f:
        np.testing.assert_allclose(io.load_image(f)[0, 0], [1, 0.2, 0])
    with open(file, "rb") as f:
        np.testing.assert_allclose(io.load_image(BytesIO(f.read())), io.load_image(file))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_resizing_a_flat_image_leaves_it_flat(order, channels):
    out = io.resize_image(np.full((5, 7, channels), 0.25), (3, 11), interp_order=order)
    assert out.shape == (3, 11, channels)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, 0.25, rtol=1e-6)


def test_resize_by_hand():
    """Pixel centres are at half-integers.

    Outside, the image is mirrored ('reflect'), repeated ('edge') or `cval` ('constant').
    """
    row = np.array([[0.0, 4.0]])
    for mode, expected in (
        ("reflect", [1, 1, 3, 3]),
        ("edge", [0, 1, 3, 4]),
        ("constant", [0, 1, 3, 3]),
    ):
        np.testing.assert_allclose(io.resize(row, (1, 4), mode=mode), [expected], rtol=1e-6)
    # a quarter of 8 and three quarters of 4; clipped to the image's largest value
    for clip, last in ((False, 5), (True, 4)):
        out = io.resize(row, (1, 4), mode="constant", cval=8, clip=clip)
        np.testing.assert_allclose(out, [[2, 1, 3, last]], rtol=1e-6)
    np.testing.assert_array_equal(io.resize(row, (1, 4), order=0), [[0, 0, 4, 4]])
    np.testing.assert_allclose(io.resize(row, (1, 1), anti_aliasing=False), [[2]])


def test_resize_keeps_channels_and_scales_integers():
    image = np.full((3, 5, 3), 51, dtype=np.uint8)
    out = io.resize(image, (6, 2))
    assert out.shape == (6, 2, 3)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, 0.2)
    np.testing.assert_allclose(io.resize(image, (6, 2, 3), preserve_range=True), 51)
    assert io.resize(image, (6, 2), order=0).dtype == np.uint8
    assert io.resize(image.astype(np.float32), (6, 2)).dtype == np.float32
    assert io.resize(image[:, :, 0] > 0, (6, 2)).all()
    assert io.resize(image[:, :, 0], (6, 2, 1)).shape == (6, 2, 1)


def test_axes_that_shrink_are_smoothed():
    """A step from 0 to 1 over 8 pixels, halved: it is smoothed by a Gaussian of sigma 0.5 first."""
    step = np.repeat([[0.0, 1.0]], 4, axis=1)
    np.testing.assert_array_equal(io.resize(step, (1, 4), anti_aliasing=False), [[0, 0, 1, 1]])
    # the weights under the Gaussian of the next pixel, and of the one after
    weight = np.exp(-2) / (1 + 2 * np.exp(-2) + 2 * np.exp(-8))
    far = weight * np.exp(-6)
    expected = (weight + far + far) / 2  # mean of the two pixels before the step
    np.testing.assert_allclose(io.resize(step, (1, 4), mode="edge")[0, 1], expected, rtol=1e-6)
    smooth = io.resize(step, (1, 4), mode="edge", anti_aliasing_sigma=(0, 5))
    assert 0.3 < smooth[0, 1] < smooth[0, 2] < 0.7


def test_resizing_other_numbers_of_channels_is_scipys_zoom():
    from scipy import ndimage

    image = np.random.default_rng(0).random((4, 6, 2))
    np.testing.assert_array_equal(
        io.resize_image(image, (8, 3)), ndimage.zoom(image, (2, 0.5, 1), order=1).astype(np.float32)
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: io.resize(np.zeros((2, 2, 3, 3)), (4, 4)),
        lambda: io.resize(np.zeros((2, 2)), (4, 0)),
        lambda: io.resize(np.zeros((2, 2)), (4, 4), mode="none"),
        lambda: io.resize(np.zeros((2, 2)), (4, 4), order=6),
        lambda: io.resize_image(np.zeros((2, 2)), (4, 4)),
        lambda: io.resize_image(np.zeros((0, 2, 3)), (4, 4)),
        lambda: io.oversample([np.zeros((2, 9, 3))], (3, 3)),
    ],
)
def test_shapes_that_do_not_fit(call):
    with pytest.raises(ValueError, match=r"cannot (be )?resized?|are larger than") as caught:
        call()
    assert isinstance(caught.value, caffe.CaffeError)
    assert "\n" not in str(caught.value)


def test_oversample():
    image = np.arange(30, dtype=np.float32).reshape(5, 6, 1)
    crops = io.oversample([image, image + 100], (2, 3))
    assert crops.shape == (20, 2, 3, 1)
    assert crops[:5, 0, 0, 0].tolist() == [0, 3, 18, 21, 7]
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], crops[:10] + 100)


def test_datum_round_trip():
    array = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    datum = io.array_to_datum(array, 4)
    assert datum.label == 4
    assert datum.data == bytes(range(6))
    assert (datum.channels, datum.height, datum.width) == (1, 2, 3)
    np.testing.assert_array_equal(io.datum_to_array(datum), array)
    floats = io.array_to_datum(array / 2.0)
    assert not floats.HasField("label")
    assert not floats.data
    np.testing.assert_array_equal(io.datum_to_array(floats), array / 2.0)
    assert len(io.array_to_datum(np.ones((10, 10, 3)), label=1).SerializeToString()) > len(
        io.array_to_datum(np.ones((10, 10, 3))).SerializeToString()
    )
    with pytest.raises(ValueError, match="Incorrect array shape"):
        io.array_to_datum(array[0])
    datum.channels = 2
    with pytest.raises(
        ValueError, match=r"the Datum declares the shape \(2, 2, 3\) .* but holds 6 numbers"
    ):
        io.datum_to_array(datum)


def test_blob_round_trip():
    array = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    blob = io.array_to_blobproto(array, diff=array + 1)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), array + 1)
    wide = caffe_pb2.BlobProto(double_data=[1.5, 2.5], shape={"dim": [2]})
    np.testing.assert_array_equal(io.blobproto_to_array(wide), [1.5, 2.5])


def test_the_old_shape_of_a_blob_comes_first():
    old = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=1, data=[5, 6])
    assert io.blobproto_to_array(old).shape == (1, 1, 2, 1)
    old.shape.dim.extend([2])
    assert io.blobproto_to_array(old).shape == (1, 1, 2, 1)
    old.ClearField("channels")  # then it is 0, as in Caffe
    with pytest.raises(ValueError, match=r"a blob of shape \(1, 0, 2, 1\) cannot hold 2 values"):
        io.blobproto_to_array(old)


def test_a_blob_without_shape_holds_one_number():
    number = io.blobproto_to_array(caffe_pb2.BlobProto(data=[123]))
    assert number.shape == ()
    assert number == 123
    with pytest.raises(ValueError, match=r"a blob of shape \(\) cannot hold 100 values"):
        io.blobproto_to_array(caffe_pb2.BlobProto(data=[0] * 100))
    with pytest.raises(ValueError, match=r"a blob of shape \(-1, 3\) cannot hold 6 values"):
        io.blobproto_to_array(caffe_pb2.BlobProto(data=[0] * 6, shape={"dim": [-1, 3]}))


def test_lists_of_arrays_as_bytes():
    arrays = [np.float32([[1, 2], [3, 4]]), np.zeros((1, 3, 1), dtype=np.float32), np.float32(7)]
    data = io.arraylist_to_blobprotovector_str(arrays)
    assert isinstance(data, bytes)
    assert len(caffe_pb2.BlobProtoVector.FromString(data).blobs) == 3
    found = io.blobprotovector_str_to_arraylist(data)
    assert len(found) == 3
    for there, back in zip(arrays, found, strict=True):
        assert there.shape == back.shape
        np.testing.assert_array_equal(there, back)
    assert io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str([])) == []
    with pytest.raises(caffe.CaffeError, match="11 bytes are not a BlobProtoVector"):
        io.blobprotovector_str_to_arraylist(b"not a proto")


def test_preprocessing_leaves_the_image_as_it_is():
    t = transformer()
    t.set_transpose("data", (2, 0, 1))
    t.set_raw_scale("data", 255)
    t.set_mean("data", np.array([1, 2, 3]))
    image = np.full((2, 2, 3), 0.5, dtype=np.float32)
    t.preprocess("data", image)
    assert (image == 0.5).all()
