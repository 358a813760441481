"""caffe classify: BVLC's preprocessing, its output, and mistakes in one sentence."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from caffe import cli, io

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 2 dim: 2 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: AVE global_pooling: true } }
"""
LENET = Path(__file__).parents[3] / "shared" / "models" / "lenet"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A net whose classes are blue, green and red: the means of the input's channels."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    image = np.zeros((2, 4, 3), np.uint8)
    image[...] = 10, 20, 40
    image[:, 2:] += 100
    cv2.imwrite("a.png", image)
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    return tmp_path


def lines(capsys, *words):
    assert cli.main(["classify", "net.prototxt", "w.caffemodel", *map(str, words)]) == 0
    return capsys.readouterr().out.splitlines()


def refused(capsys, *words):
    assert cli.main(["classify", *map(str, words)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line.partition("] ")[2]


def test_the_numbers_by_hand(folder, capsys):
    """Both halves count alike, as the image is resized to the input: blue 60, green 70, red 90."""
    assert lines(capsys, "a.png", "-labels", "labels.txt") == [
        "---------- Prediction for a.png ----------",
        '90.0000 - "red"',
        '70.0000 - "green"',
        '60.0000 - "blue"',
    ]
    # (60 - 1) / 2, (70 - 50) / 2, (90 - 70) / 2: of equal classes the first comes first
    found = lines(capsys, "a.png", "a.png", "-mean", "1,50,70", "-scale", "0.5", "-top", "2")
    assert found[:3] == found[3:]
    assert found[1:3] == ["29.5000 - class 0", "10.0000 - class 1"]


def test_mean_files_give_the_mean_of_each_channel(folder, capsys):
    mean = np.zeros((3, 2, 2), np.float32)
    mean[0] = [[0, 2], [4, 6]]
    np.save("mean.npy", mean)
    (folder / "mean.binaryproto").write_bytes(io.array_to_blobproto(mean[None]).SerializeToString())
    for name in ("mean.npy", "mean.binaryproto"):
        assert lines(capsys, "a.png", "-mean", name)[3] == "57.0000 - class 0"


def test_grey_images_and_transparent_ones(folder, capsys):
    cv2.imwrite("grey.png", np.full((3, 3), 30, np.uint8))
    cv2.imwrite("clear.png", np.full((3, 3, 4), 30, np.uint8))
    for name in ("grey.png", "clear.png"):
        assert {line.partition(" ")[0] for line in lines(capsys, name)[1:]} == {"30.0000"}
    (folder / "net.prototxt").write_text(NET.replace("dim: 3", "dim: 1"))
    # 0.114 * 10 + 0.587 * 20 + 0.299 * 40 = 24.84 and 124.84, as whole numbers
    assert lines(capsys, "a.png")[1] == "75.0000 - class 0"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a.png", "-mean", "1,2"], "-mean 1,2: has 2 channels, the net's input 3"),
        (["a.png", "-mean", "none"], "none: No such file or directory"),
        (["a.png", "-mean", "text.npy"], "text.npy: a mean of numbers, of shape"),
        (["none.png"], "none.png: No such file or directory"),
        (["labels.txt"], "labels.txt does not hold an image that OpenCV can decode"),
        (["a.png", "-top", "0"], "-top must be at least 1, it is 0"),
        (["a.png", "-labels", "short.txt"], "short.txt: has 1 lines, the net has 3 classes"),
        ([], "command line: expected NET WEIGHTS IMAGE"),
    ],
)
def test_mistakes(folder, capsys, words, sentence):
    (folder / "short.txt").write_text("blue\n")
    np.save("text.npy", np.full(3, "blue"))
    assert refused(capsys, "net.prototxt", "w.caffemodel", *words).startswith(sentence)


def test_nets_that_do_not_classify(folder, capsys):
    (folder / "two.prototxt").write_text(
        NET + NET.replace('"data"', '"b"').replace('"pool"', '"c"')
    )
    line = refused(capsys, "two.prototxt", "w.caffemodel", "a.png")
    assert line.startswith("two.prototxt: a deploy prototxt with one input (N, C, H, W) and one")
    (folder / "maps.prototxt").write_text(
        NET.replace("global_pooling: true", "kernel_size: 1").replace("AVE", "MAX")
    )
    line = refused(capsys, "maps.prototxt", "w.caffemodel", "a.png")
    assert line.startswith("maps.prototxt: output 'pool' has the shape (1, 3, 2, 2); one number")


@pytest.mark.skipif(not LENET.is_dir(), reason="the trained LeNet is not there")
def test_bvlcs_lenet_reads_digits(capsys):
    """Images whose names begin with the digit."""
    images = sorted(LENET.glob("img_*.png"))
    words = [LENET / "mnist_deploy.prototxt", LENET / "lenet_iter_10000.caffemodel", *images]
    assert cli.main(["classify", *map(str, words), "-scale", "0.00390625", "-top", "1"]) == 0
    found = [line for line in capsys.readouterr().out.splitlines() if "class" in line]
    digits = [path.name.split("_")[1] for path in images]
    assert [line.rpartition(" ")[2] for line in found] == digits
