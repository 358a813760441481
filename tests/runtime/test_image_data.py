"""ImageData: images of a list, resized, cropped, in BGR."""

import os

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import caffe
from caffe import image_list, mode

RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)  # as OpenCV has them


@pytest.fixture
def make(net_from, tmp_path):
    """make(fields, lines): a net over a list of images.

    red.png, green.png and blue.png (2 x 3) are in its folder.
    """
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((2, 3, 3), colour, dtype=np.uint8))
    nets = []

    def build(fields, lines=("red.png 0", "green.png 1", "blue.png 2"), transform=""):
        (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
        net = net_from(
            'layer { name: "layer" type: "ImageData" top: "x" top: "t"'
            f' image_data_param {{ source: "{tmp_path / "list.txt"}" root_folder: "{tmp_path}/"'
            f" {fields} }}"
            f" transform_param {{ {transform} }} }}"
        )
        nets.append(net)
        return net

    yield build
    for net in nets:
        net.close()


def colours(net):
    """One forward: the labels, and each image's pixel at the top left."""
    net.forward()
    return net.blobs["t"].data.tolist(), net.blobs["x"].data[:, :, 0, 0].tolist()


def test_images_in_order_again_and_again(make):
    net = make("batch_size: 2")
    assert net.blobs["x"].shape == (2, 3, 2, 3)
    assert colours(net) == ([0, 1], [[0, 0, 255], [0, 255, 0]])
    assert colours(net) == ([2, 0], [[255, 0, 0], [0, 0, 255]])


def test_a_name_with_a_space_and_a_negative_label(make, tmp_path):
    (tmp_path / "red.png").rename(tmp_path / "dark red.png")
    assert colours(make("", ["dark red.png -3", ""]))[0] == [-3]


@pytest.mark.parametrize(
    ("line", "path", "label"),
    [
        ("a.png 1.7", "a.png", 1),
        ("a.png", "a.png", 0),
        ("7.png", "7.png", 7),  # without a blank the label is read from the name
        ("two words.png 3", "two words.png", 3),
        ("a.png -4x", "a.png", -4),
        ("a.png x4", "a.png", 0),
        ("a.png 4294967298", "a.png", 2),
    ],
)
def test_labels_are_read_as_by_atoi(tmp_path, line, path, label):
    (tmp_path / "list.txt").write_text(f"{line}\n\nb.png 5\n")
    assert image_list.read(tmp_path / "list.txt") == [(path, label), ("b.png", 5)]


def test_a_fifo_does_not_hang(make, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(
        caffe.CaffeError, match=r"pipe.png, listed in .*, cannot be read as an image .*is a FIFO"
    ):
        make("", ["pipe.png 0"])
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(caffe.CaffeError, match=r"pipe.txt: is a FIFO"):
        image_list.read(tmp_path / "pipe.txt")


def test_grey(make):
    net = make("is_color: false batch_size: 3")
    _, grey = colours(net)
    assert net.blobs["x"].shape == (3, 1, 2, 3)
    assert_allclose(grey, 255 * np.array([[0.299], [0.587], [0.114]]), atol=1)


def test_resized_as_opencv_does(make, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), image)
    net = make("new_height: 4 new_width: 5", ["noise.png 0"])
    net.forward()
    assert_array_equal(net.blobs["x"].data[0], cv2.resize(image, (5, 4)).transpose(2, 0, 1))


def test_transformed(make):
    net = make("", transform="crop_size: 2 mean_value: 1 mean_value: 2 mean_value: 3 scale: 2")
    assert colours(net)[1] == [[-2, -4, 2 * 252]]
    assert net.blobs["x"].shape == (1, 3, 2, 2)


def test_shuffle_gives_every_image_once_a_round(make):
    caffe.set_random_seed(1)
    lines = [f"{name}.png {i}" for i, name in enumerate(["red", "green", "blue"] * 4)]
    net = make("batch_size: 12 shuffle: true", lines)
    rounds = [colours(net) for _ in range(2)]
    assert rounds[0][0] != rounds[1][0]
    assert rounds[0][0] != sorted(rounds[0][0])
    for labels, pixels in rounds:
        assert sorted(labels) == list(range(12))
        assert all(
            pixel[2 - int(label) % 3] == 255 for label, pixel in zip(labels, pixels, strict=True)
        )


def test_the_draws_of_a_seed_and_their_order(make):
    """The layer's seed shuffles the first round.

    From the same seed, the reader draws whether each image is mirrored, and after the last image of
    a round the order of the next.
    """
    lines = [f"{name}.png {i}" for i, name in enumerate(["red", "green", "blue"] * 2)]
    caffe.set_random_seed(7)
    seed = mode.draw_seed()
    first = list(range(6))
    np.random.default_rng(seed).shuffle(first)
    reader, second = np.random.default_rng(seed), first.copy()
    reader.integers(2, size=6)
    reader.shuffle(second)
    caffe.set_random_seed(7)
    net = make("batch_size: 4 shuffle: true", lines, transform="mirror: true")
    labels = [colours(net)[0] for _ in range(3)]
    assert [label for batch in labels for label in batch] == first + second
    assert first != second


def test_rand_skip_starts_within_its_range(make):
    caffe.set_random_seed(0)
    assert {colours(make("rand_skip: 2"))[0][0] for _ in range(12)} == {0, 1}


@pytest.mark.parametrize(
    ("fields", "lines", "match"),
    [
        ("batch_size: 0", ["red.png 0"], "batch_size must be at least 1"),
        ("new_height: 4", ["red.png 0"], "new_height and new_width together"),
        ("", [""], "lists no images"),
        ("", ["none.png 0"], "none.png, listed in .*list.txt, cannot be read as an image"),
    ],
)
def test_refused(make, fields, lines, match):
    with pytest.raises(caffe.CaffeError, match=match):
        make(fields, lines)


def test_an_image_that_goes_bad_later_is_named(make, tmp_path):
    net = make("batch_size: 2", ["red.png 0", "green.png 0"])
    (tmp_path / "green.png").write_bytes(b"no image")
    with pytest.raises(
        caffe.CaffeError, match=r"green.png, listed in .*, cannot be read as an image"
    ):
        net.forward()


def test_refuses_a_batch_of_two_sizes(make, tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((5, 5, 3), dtype=np.uint8))
    with pytest.raises(caffe.CaffeError, match="differ in size"):
        make("batch_size: 2", ["red.png 0", "large.png 0"]).forward()
