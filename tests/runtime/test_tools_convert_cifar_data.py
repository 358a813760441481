"""convert_cifar_data: the records that BVLC's program writes, and the tutorial's commands."""

import numpy as np
import pytest
from lmdb_records import records

from caffe import cli
from caffe.io import read_mean_file
from caffe.proto import caffe_pb2
from caffe.tools import compute_image_mean
from caffe.tools.convert_cifar_data import main

QUICK = """
layer { name: "cifar" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_file:
  "mean.binaryproto" } data_param { source: "cifar10_train_lmdb" batch_size: 5 backend: LMDB } }
layer { name: "cifar" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { mean_file:
  "mean.binaryproto" } data_param { source: "cifar10_test_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "pool1" type: "Pooling" bottom: "data" top: "pool1"
  pooling_param { pool: AVE kernel_size: 8 stride: 8 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1"
  inner_product_param { num_output: 10
  weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip1" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "quick.prototxt" test_iter: 1 test_interval: 4 base_lr: {lr} momentum: 0.9 weight_decay: 0.004
  lr_policy: "fixed" display: 4
max_iter: {iterations} snapshot: 4 snapshot_format: HDF5 snapshot_prefix: "quick" solver_mode: CPU
  random_seed: 1
"""


def batch(path, count, first=0):
    """A file of `count` images; number i has label i % 10 and planes of i, i + 1, i + 2 (red,
    green, blue).
    """
    one = [
        bytes([i % 10]) + b"".join(bytes([(i + c) % 256]) * 1024 for c in range(3))
        for i in range(first, first + count)
    ]
    path.write_bytes(b"".join(one))


@pytest.fixture
def cifar(tmp_path):
    for i in range(5):
        batch(tmp_path / f"data_batch_{i + 1}.bin", 6, 6 * i)
    batch(tmp_path / "test_batch.bin", 4, 50)
    return tmp_path


def test_records_by_hand(cifar, capsys):
    assert main([str(cifar), str(cifar), "lmdb"]) == 0
    train, test = records(cifar / "cifar10_train_lmdb"), records(cifar / "cifar10_test_lmdb")
    # in the files' order, not shuffled; a batch has room for 10,000 keys
    assert [key for key, _ in train] == [
        f"{10000 * batch + i:05d}" for batch in range(5) for i in range(6)
    ]
    assert [datum.label for _, datum in train] == [i % 10 for i in range(30)]
    assert [key for key, _ in test] == ["00000", "00001", "00002", "00003"]
    planes = b"".join(bytes([7 + c]) * 1024 for c in range(3))
    assert train[7][1] == caffe_pb2.Datum(channels=3, height=32, width=32, data=planes, label=7)
    log = capsys.readouterr().err
    assert "convert_cifar_data.cpp:52] Writing Training data" in log
    assert "Training Batch 5" in log
    assert "convert_cifar_data.cpp:73] Writing Testing data" in log
    assert "data_batch_1.bin has 6 images instead of 10000" in log


def test_a_whole_batch_has_10000_images(cifar, capsys):
    batch(cifar / "data_batch_3.bin", 10000)
    assert main([str(cifar), str(cifar), "lmdb"]) == 0
    assert "data_batch_3.bin" not in capsys.readouterr().err
    keys = [key for key, _ in records(cifar / "cifar10_train_lmdb")]
    assert keys[11:14] == ["10005", "20000", "20001"]
    assert keys[10011] == "29999"
    assert keys[10012] == "30000"


def test_the_tutorial(cifar, monkeypatch, capsys):
    """create_cifar10.sh and train_quick.sh: the second call resumes from the first one's
    .solverstate.h5.
    """
    monkeypatch.chdir(cifar)
    assert main([".", ".", "lmdb"]) == 0
    assert compute_image_mean.main(["-backend=lmdb", "cifar10_train_lmdb", "mean.binaryproto"]) == 0
    mean = read_mean_file("mean.binaryproto")
    assert mean.shape == (3, 32, 32)
    np.testing.assert_allclose(mean[:, 0, 0], [14.5, 15.5, 16.5])
    (cifar / "quick.prototxt").write_text(QUICK)
    (cifar / "quick_solver.prototxt").write_text(SOLVER.format(lr=0.001, iterations=4))
    (cifar / "quick_solver_lr1.prototxt").write_text(SOLVER.format(lr=0.0001, iterations=6))
    assert cli.main(["train", "--solver=quick_solver.prototxt"]) == 0
    assert (
        cli.main(
            [
                "train",
                "--solver=quick_solver_lr1.prototxt",
                "--snapshot=quick_iter_4.solverstate.h5",
            ]
        )
        == 0
    )
    assert (cifar / "quick_iter_6.caffemodel.h5").is_file()
    log = capsys.readouterr().err
    assert "Iteration 4, lr = 0.001" not in log
    assert "Iteration 4, lr = 0.0001" in log
    assert "accuracy = " in log


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            "has 18437 bytes, not 10000 records of 3073",
        ),
        (lambda path: path.write_bytes(b""), "has 0 bytes"),
        (lambda path: path.write_bytes(bytes(3073 * 10001)), "has 30733073 bytes"),
        (
            lambda path: path.write_bytes(bytes(3073) + b"\x0a" + bytes(3072)),
            "image 1 has the label 10",
        ),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
        (
            lambda path: path.unlink(),
            "no such file; expected data_batch_1.bin to data_batch_5.bin and test_batch.bin",
        ),
    ],
)
@pytest.mark.parametrize("name", ["data_batch_4.bin", "test_batch.bin"])
def test_bad_files_are_named_and_nothing_is_written(cifar, fatal, name, change, message):
    batch(cifar / name, 6)
    change(cifar / name)
    line = fatal(main, cifar, cifar, "lmdb")
    assert f"{name}: " in line
    assert message in line
    assert not list(cifar.glob("cifar10*"))


def test_refused(cifar, fatal, capsys):
    assert "the database type leveldb is not supported, only lmdb is" in fatal(
        main, cifar, cifar, "leveldb"
    )
    assert "INPUT_FOLDER OUTPUT_FOLDER DB_TYPE" in fatal(main, cifar, cifar)
    (cifar / "cifar10_test_lmdb").mkdir()
    assert "cifar10_test_lmdb: already exists" in fatal(main, cifar, cifar, "lmdb")
    assert not (cifar / "cifar10_train_lmdb").exists()
    assert main(["-help"]) == 0
    assert "usage: caffe convert_cifar_data" in capsys.readouterr().out
