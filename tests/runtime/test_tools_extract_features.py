"""extract_features: blobs as BVLC Caffe computed them, their records, and what is refused."""

import numpy as np
import pytest
from lmdb_records import records

import caffe
from caffe.database import Writer
from caffe.io import array_to_datum
from caffe.tools.extract_features import main

NET = """
layer { name: "d" type: "Data" top: "x" data_param { source: "db" batch_size: 2 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 bias_term: false
  weight_filler { type: "constant" value: 1 } } }
layer { name: "r" type: "ReLU" bottom: "y" top: "y" }
layer { name: "off" type: "Dropout" bottom: "y" top: "z" dropout_param { dropout_ratio: 0.5 } }
"""


@pytest.fixture
def task(tmp_path, monkeypatch):
    """The current folder: db with three records [i, 2i, -3], net.prototxt, and weights.

    The weights double the sum of a record.
    """
    monkeypatch.chdir(tmp_path)
    with Writer("db") as database:
        for i in range(3):
            database.put(f"{i:08d}", array_to_datum(np.array([i, 2 * i, -3.0]).reshape(3, 1, 1)))
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.params["ip"][0].data[...] = 2
    net.save("weights.caffemodel")
    net.close()
    return tmp_path


def test_by_hand_over_the_end_of_the_data(task, capsys):
    assert main(["weights.caffemodel", "net.prototxt", "x,y,z", "fx,fy,fz", "2", "lmdb"]) == 0
    x, y, z = (records(name) for name in ("fx", "fy", "fz"))
    assert [key for key, _ in x] == ["0000000000", "0000000001", "0000000002", "0000000003"]
    assert [(d.channels, d.height, d.width, len(d.data)) for _, d in x] == [(3, 1, 1, 0)] * 4
    assert [list(d.float_data) for _, d in x] == [[0, 0, -3], [1, 2, -3], [2, 4, -3], [0, 0, -3]]
    assert [list(d.float_data) for _, d in y] == [[0], [0], [6], [0]]  # max(0, 2 * (3i - 3))
    # no dropout: the phase is TEST
    assert [d.float_data for _, d in z] == [d.float_data for _, d in y]
    log = capsys.readouterr().err
    assert "Using CPU" in log
    assert "Extracted features of 4 query images for feature blob y" in log
    assert "Successfully extracted the features!" in log


def test_gpu_without_a_gpu_is_fatal(task, monkeypatch, fatal):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    given = ["weights.caffemodel", "net.prototxt", "y", "f", "1", "lmdb", "GPU", "DEVICE_ID=0"]
    assert "GPU DEVICE_ID=0: PyTorch finds no CUDA device here" in fatal(main, *given)


def test_as_recorded(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(golden / "train")
    with open("train_val.prototxt") as f:
        (tmp_path / "net.prototxt").write_text(f.read().replace("include { phase: TRAIN }", ""))
    targets = f"{tmp_path}/fc7,{tmp_path}/pool1"
    assert (
        main(
            ["init.caffemodel", tmp_path / "net.prototxt", "fc7,pool1", targets, "1", "lmdb", "CPU"]
        )
        == 0
    )
    recorded = np.load("forward_backward_batch0.npz")
    for blob, shape in (("fc7", (32, 1, 1)), ("pool1", (12, 8, 8))):
        found = records(tmp_path / blob)
        assert {(d.channels, d.height, d.width) for _, d in found} == {shape}
        wanted = recorded[f"data.{blob}"].reshape(8, -1)
        np.testing.assert_allclose([d.float_data for _, d in found], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({2: "y,none", 3: "a,b"}, "Unknown feature blob name none"),
        ({2: "x,y"}, "2 blobs and 1 databases"),
        ({2: "x,y", 3: "a,a"}, "2 blobs and 1 databases"),
        ({3: "db"}, "already exists"),
        ({4: "0"}, "NUM_MINI_BATCHES must be at least 1"),
        ({5: "leveldb"}, "only lmdb"),
        ({6: "TPU"}, "expected CPU, GPU or GPU DEVICE_ID=0"),
        ({6: "GPU", 7: "first"}, "expected CPU, GPU or GPU DEVICE_ID=0"),
        ({0: "none.caffemodel"}, "none.caffemodel"),
        ({1: "none.prototxt"}, "none.prototxt"),
    ],
)
def test_refused_and_nothing_written(task, fatal, changed, message):
    before = set(task.iterdir())
    arguments = ["weights.caffemodel", "net.prototxt", "y", "f", "1", "lmdb", "CPU", "DEVICE_ID=0"]
    assert message in fatal(
        main, *(changed.get(i, argument) for i, argument in enumerate(arguments))
    )
    assert set(task.iterdir()) == before


def test_too_few_arguments(fatal):
    assert "expected PRETRAINED_NET_PARAM" in fatal(main, "weights.caffemodel")
