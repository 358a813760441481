"""convert_mnist_data: the records that BVLC's program writes, and the tutorial's commands."""

import struct

import numpy as np
import pytest
from lmdb_records import records

from caffe import cli
from caffe.proto import caffe_pb2
from caffe.tools.convert_mnist_data import main

LENET = """
layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 }
  data_param { source: "mnist_train_lmdb" batch_size: 8 backend: LMDB } }
layer { name: "mnist" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 }
  data_param { source: "mnist_test_lmdb" batch_size: 5 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 }
  param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool1" top: "ip"
  inner_product_param { num_output: 10
  weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "lenet.prototxt" test_iter: 2 test_interval: 5 base_lr: 0.05 momentum: 0.9
weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75 display: 5 max_iter: 10
snapshot: 5 snapshot_prefix: "lenet" solver_mode: CPU random_seed: 1
"""


def idx(path, magic, sizes, data):
    path.write_bytes(struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + bytes(data))
    return path


def mnist(folder, count, rows=2, columns=3, name="train", seed=0):
    """Two idx files of random pixels; (image file, label file, ndarray of uint8 (count, rows,
    columns), list of labels).
    """
    pixels = np.random.default_rng(seed).integers(0, 256, (count, rows, columns)).astype(np.uint8)
    labels = [i % 10 for i in range(count)]
    images = idx(folder / f"{name}-images-idx3-ubyte", 2051, pixels.shape, pixels.tobytes())
    return images, idx(folder / f"{name}-labels-idx1-ubyte", 2049, (count,), labels), pixels, labels


def test_records_by_hand(tmp_path, capsys):
    images, labels, pixels, numbers = mnist(tmp_path, 12)
    assert main([str(images), str(labels), str(tmp_path / "db"), "--backend=lmdb"]) == 0
    found = records(tmp_path / "db")
    assert [key for key, _ in found] == [f"{i:08d}" for i in range(12)]
    assert [datum.label for _, datum in found] == numbers
    for image, (_, datum) in zip(pixels, found, strict=True):
        assert datum == caffe_pb2.Datum(
            channels=1, height=2, width=3, data=image.tobytes(), label=datum.label
        )
    log = capsys.readouterr().err
    assert "convert_mnist_data.cpp:88] A total of 12 items." in log
    assert "convert_mnist_data.cpp:89] Rows: 2 Cols: 3" in log
    assert "convert_mnist_data.cpp:108] Processed 12 files." in log


def test_the_tutorial(tmp_path, monkeypatch, capsys):
    """Convert, train, test, resume.  The images show a bright bar, whose place is the class."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("train", 40), ("t10k", 10)):
        images, labels, pixels, numbers = mnist(tmp_path, count, 28, 28, name)
        pixels[:] = pixels // 8
        for image, number in zip(pixels, numbers, strict=True):
            image[2 * number : 2 * number + 5] = 255
        idx(images, 2051, pixels.shape, pixels.tobytes())
        database = "mnist_test_lmdb" if name == "t10k" else "mnist_train_lmdb"
        assert main([str(images), str(labels), database, "--backend=lmdb"]) == 0
    (tmp_path / "lenet.prototxt").write_text(LENET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    assert cli.main(["train", "--solver=solver.prototxt"]) == 0
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("max_iter: 10", "max_iter: 24"))
    assert (
        cli.main(["train", "--solver=solver.prototxt", "--snapshot=lenet_iter_10.solverstate"]) == 0
    )
    assert (
        cli.main(
            [
                "test",
                "-model",
                "lenet.prototxt",
                "-weights",
                "lenet_iter_24.caffemodel",
                "-iterations",
                "2",
            ]
        )
        == 0
    )
    log = capsys.readouterr().err
    assert "Resuming from lenet_iter_10.solverstate" in log
    accuracy = float(log.rsplit("accuracy = ", 1)[1].split()[0])
    assert accuracy >= 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda i, n: i.write_bytes(b"\0\0\x08\x01" + i.read_bytes()[4:]),
            "train-images-idx3-ubyte: Incorrect image file magic",
        ),
        (
            lambda i, n: n.write_bytes(b"\0\0\x08\x03" + n.read_bytes()[4:]),
            "train-labels-idx1-ubyte: Incorrect label file magic",
        ),
        (
            lambda i, n: i.write_bytes(b"\x1f\x8b" + i.read_bytes()),
            "train-images-idx3-ubyte: is compressed; gunzip it first",
        ),
        (
            lambda i, n: i.write_bytes(i.read_bytes()[:-1]),
            "cut off: its header declares 24 bytes of images, but there are 23",
        ),
        (
            lambda i, n: n.write_bytes(n.read_bytes()[:-1]),
            "cut off: its header declares 4 bytes of labels, but there are 3",
        ),
        (lambda i, n: i.write_bytes(i.read_bytes()[:10]), "Incorrect image file magic"),
        (lambda i, n: i.write_bytes(b""), "Incorrect image file magic"),
        (
            lambda i, n: i.write_bytes(i.read_bytes()[:4] + b"\xff" * 12),
            f"declares {0xFFFFFFFF**3} bytes of images, but there are 0",
        ),
        (lambda i, n: idx(n, 2049, (3,), range(3)), "has 4 images, but"),
        (
            lambda i, n: (idx(i, 2051, (0, 2, 3), b""), idx(n, 2049, (0,), b"")),
            "has no images (0 of 2 x 3 pixels)",
        ),
        (lambda i, n: n.unlink(), "train-labels-idx1-ubyte: No such file"),
        (lambda i, n: (i.unlink(), i.mkdir()), "train-images-idx3-ubyte: is a folder"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(tmp_path, fatal, change, message):
    images, labels, _, _ = mnist(tmp_path, 4)
    change(images, labels)
    assert message in fatal(main, images, labels, tmp_path / "db")
    assert not list(tmp_path.glob("db*"))


def test_refused(tmp_path, fatal, capsys):
    images, labels, _, _ = mnist(tmp_path, 4)
    assert "-backend leveldb is not supported, only lmdb is" in fatal(
        main, "-backend=leveldb", images, labels, tmp_path / "db"
    )
    assert "INPUT_IMAGE_FILE INPUT_LABEL_FILE OUTPUT_DB_FILE" in fatal(main, images, labels)
    (tmp_path / "db").mkdir()
    assert "db: already exists" in fatal(main, images, labels, tmp_path / "db")
    assert main(["-help"]) == 0
    assert "usage: caffe convert_mnist_data" in capsys.readouterr().out
