"""Image files as the network sees them: decoded, warped, cropped and centred, by hand."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from texttopicnet import images
from texttopicnet.errors import UserError


def bytes_of(image, kind, **arguments):
    """The file of a PIL image."""
    file = io.BytesIO()
    image.save(file, kind, **arguments)
    return file.getvalue()


def one_colour(mode, colour, kind="PNG", side=None, **arguments):
    size = (side, side) if side else (24, 16)
    return bytes_of(Image.new(mode, size, colour), kind, **arguments)


@pytest.mark.parametrize(
    ("data", "bgr"),
    [
        (one_colour("RGB", (10, 20, 30)), (30, 20, 10)),
        (one_colour("L", 77), (77, 77, 77)),
        (one_colour("RGBA", (10, 20, 30, 5)), (30, 20, 10)),  # opaque or not
        (one_colour("I;16", 200 * 257), (200, 200, 200)),
        (one_colour("L", 128, kind="JPEG"), (128, 128, 128)),
        (one_colour("CMYK", (255, 0, 0, 0), kind="JPEG", quality=100), (255, 255, 0)),  # cyan
        (one_colour("CMYK", (0, 0, 0, 0), kind="JPEG", quality=100), (255, 255, 255)),
    ],
    ids=["colour", "grey", "alpha", "16 bits", "grey JPEG", "CMYK cyan", "CMYK white"],
)
def test_every_kind_becomes_bgr(data, bgr):
    image = images.decode(data, "a")
    assert image.shape == (16, 24, 3)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - bgr).max() <= 2


def test_a_palettes_colours_are_looked_up():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert images.decode(bytes_of(image, "PNG"), "a")[0, 0].tolist() == [50, 100, 200]


def test_a_cameras_orientation_tag_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    left_dark = Image.fromarray(np.repeat(np.uint8([[0] * 30 + [255] * 30]), 40, axis=0))
    image = images.decode(bytes_of(left_dark, "JPEG", exif=exif), "a")
    assert image.shape == (40, 60, 3)
    assert image[:, :25].max() < 20
    assert image[:, 35:].min() > 235
    turned = cv2.imdecode(
        np.frombuffer(bytes_of(left_dark, "JPEG", exif=exif), np.uint8), cv2.IMREAD_COLOR
    )
    assert turned.shape == (60, 40, 3)  # the tag is there


@pytest.mark.parametrize(
    "data", [b"", b"no picture", b"\xff\xd8\xff", one_colour("RGB", (1, 2, 3))[:20]]
)
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(UserError) as caught:
        images.read_image(tmp_path / "a.jpg")
    assert (
        str(caught.value)
        == f"{tmp_path / 'a.jpg'} is not an image that OpenCV can decode; repair it or leave it out"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError) as caught:
        images.read_image(str(tmp_path / "a.jpg"))
    assert str(caught.value) == f"{tmp_path / 'a.jpg'}: cannot be read (No such file or directory)"
    with pytest.raises(UserError, match=r"cannot be read .Is a directory"):
        images.read_image(tmp_path)


def test_a_read_image_is_the_decoded_file(tmp_path):
    (tmp_path / "a.png").write_bytes(one_colour("RGB", (10, 20, 30)))
    assert images.read_image(tmp_path / "a.png")[5, 5].tolist() == [30, 20, 10]


def rows_of(values, height):
    """An image whose rows are all `values`, in three channels."""
    return np.repeat(np.repeat(np.uint8([values])[:, :, None], height, axis=0), 3, axis=2)


def test_resized_up_by_hand():
    # centres of the new pixels lie at -0.25, 0.25, 0.75, 1.25 of the old ones
    image = images.resized(rows_of([0, 100], 2), 4)
    np.testing.assert_array_equal(image, rows_of([0, 25, 75, 100], 4))


def test_resized_down_without_antialiasing_by_hand():
    # centres at 1.5 and 5.5: pixels 1, 2 and 5, 6 count, the others do not
    image = images.resized(rows_of([255, 10, 20, 255, 255, 40, 60, 255], 8), 2)
    np.testing.assert_array_equal(image, rows_of([15, 50], 2))


def test_resized_warps_both_sides():
    assert images.resized(np.zeros((300, 40, 3), np.uint8)).shape == (256, 256, 3)
    same = np.zeros((256, 256, 3), np.uint8)
    assert images.resized(same) is same


@pytest.mark.parametrize(("crop", "side"), [(227, 256), (224, 253), (64, 72), (9, 10)])
def test_side_in_proportion_to_the_crop(crop, side):
    assert images.stored_side(crop) == side


def test_network_input_by_hand():
    y, x = np.mgrid[0:256, 0:256]
    image = np.stack([y, x, np.full_like(x, 7)], axis=2).astype(np.uint8)
    found = images.network_input(image)
    assert found.shape == (3, 227, 227)
    assert found.dtype == np.float32
    i = np.arange(14, 14 + 227)  # floor((256 - 227) / 2) = 14
    np.testing.assert_allclose(found[0], np.repeat(i[:, None], 227, axis=1) - 104.00699, atol=1e-4)
    np.testing.assert_allclose(found[1], np.repeat(i[None], 227, axis=0) - 116.66877, atol=1e-4)
    np.testing.assert_allclose(found[2], np.full((227, 227), 7 - 122.67892), atol=1e-4)


def test_network_input_of_another_crop_and_mean():
    # crop 18: warped to round(18 * 256 / 227) = 20, cropped from 1 on
    image = np.zeros((20, 20, 3), np.uint8)
    image[1, 1] = 10, 20, 30  # BGR
    image[18, 18] = 40, 50, 60
    image[0] = image[19] = image[:, 0] = image[:, 19] = 255  # the border is cropped
    found = images.network_input(image, crop=18, mean_bgr=(1, 2, 3))
    assert found.shape == (3, 18, 18)
    assert found[:, 0, 0].tolist() == [9, 18, 27]
    assert found[:, 17, 17].tolist() == [39, 48, 57]
    assert found.max() == 57
    assert found[:, 5, 5].tolist() == [-1, -2, -3]


def test_network_input_of_one_colour_is_that_colour_whatever_its_size():
    found = images.network_input(np.full((31, 500, 3), (104, 117, 123), np.uint8))
    for channel, value in zip(found, (-0.00699, 0.33123, 0.32108), strict=True):
        np.testing.assert_allclose(channel, np.full((227, 227), value), atol=1e-4)


def test_encoded_is_a_jpeg_of_quality_95():
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    data = images.encoded(image)
    assert data == cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    assert data.startswith(b"\xff\xd8")
    assert images.decode(data, "a").shape == (32, 48, 3)
    smooth = cv2.GaussianBlur(image, (0, 0), 5)
    assert np.abs(images.decode(images.encoded(smooth), "a").astype(int) - smooth).max() <= 8


def test_a_colour_jpeg_of_the_stored_size_is_stored_byte_for_byte():
    data = one_colour("RGB", (10, 20, 30), kind="JPEG", side=256)
    assert images.stored(data, "a") is data
    assert images.stored(data, "a", 256) is data
    assert images.stored(data[:2] + b"\xff" + data[2:], "a")[2:4] == b"\xff\xff"  # a fill byte


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "side"),
    [
        ("RGB", (10, 20, 30), "JPEG", 255),
        ("RGB", (10, 20, 30), "PNG", 256),
        ("L", 90, "JPEG", 256),
        ("CMYK", (255, 0, 0, 0), "JPEG", 256),
    ],
)
def test_any_other_image_is_stored_as_a_colour_jpeg_of_quality_95(mode, colour, kind, side):
    data = one_colour(mode, colour, kind=kind, side=side)
    found = images.stored(data, "a")
    assert found == images.encoded(images.resized(images.decode(data, "a"), 256))
    assert cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_UNCHANGED).shape == (256, 256, 3)


def header(kind, height, width):
    """A small file whose header declares other sizes."""
    data = bytearray(one_colour("RGB", (10, 20, 30), kind=kind))
    if kind == "JPEG":
        at = data.find(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif kind == "PNG":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
@pytest.mark.parametrize(
    ("height", "width"),
    [(20_000, 20_000), (40_000, 40_000), (65_000, 65_000), (1540, 65_000), (10_001, 10_000)],
)
def test_a_header_of_too_many_pixels_is_refused_before_anything_is_decoded(
    monkeypatch, kind, height, width
):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(
        UserError,
        match=f"a.x: its header declares {width} x {height} pixels, more than 100,000,000; make it",
    ):
        images.decode(header(kind, height, width), "a.x")


def test_the_largest_image_that_is_decoded(monkeypatch):
    monkeypatch.setattr(images, "MOST_PIXELS", 24 * 16)
    assert images.decode(one_colour("RGB", (1, 2, 3)), "a").shape == (16, 24, 3)
    monkeypatch.setattr(images, "MOST_PIXELS", 24 * 16 - 1)
    with pytest.raises(UserError, match="declares 24 x 16 pixels"):
        images.decode(one_colour("RGB", (1, 2, 3)), "a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "JPEG2000"])
def test_the_size_in_the_header(kind):
    data = one_colour("RGB", (10, 20, 30), kind=kind)
    assert images.size(data) == (16, 24)
    assert images.decode(data, "a").shape == (16, 24, 3)
    for cut in range(0, len(data), max(1, len(data) // 50)):
        images.size(data[:cut])  # raises nothing


@pytest.mark.parametrize("progressive", [False, True])
def test_the_size_of_a_jpeg_behind_other_segments(progressive):
    exif = Image.Exif()
    exif[0x010E] = "\xff\xc0" * 500  # looks like a frame header, inside a segment
    data = bytes_of(
        Image.new("RGB", (24, 16)),
        "JPEG",
        exif=exif,
        progressive=progressive,
        comment=b"\xff\xc0" * 100,
    )
    assert images.size(data) == (16, 24)
    assert images.size(data[:2] + b"\xff" * 5 + data[2:]) == (16, 24)  # fill bytes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8" + b"\xff" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"text",
        b"BM" + bytes(60),
    ],
)
def test_other_files_are_not_images(data):
    with pytest.raises(UserError, match=r"a.jpg is not an image that OpenCV can decode"):
        images.decode(data, "a.jpg")


def test_the_first_picture_of_an_animation_counts():
    frames = [Image.new("RGB", (24, 16), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    for kind in ("GIF", "PNG", "WEBP"):
        data = bytes_of(
            frames[0],
            kind,
            save_all=True,
            append_images=frames[1:],
            duration=100,
            **({"lossless": True} if kind == "WEBP" else {}),
        )
        assert np.abs(images.decode(data, "a")[8, 12].astype(int) - (0, 0, 250)).max() <= 8, kind
