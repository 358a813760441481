"""caffe inspect: what a file holds, without data and without running a net."""

import json
import struct
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
import pytest

import caffe
from caffe import (
    cli,
    data_shapes,
    inspect_files,
    inspect_net,
    prototxt,
    snapshot,
    weights_file,
    wire,
)
from caffe.proto import caffe_pb2

NET = """
name: "small"
layer { name: "d" type: "Data" top: "x" top: "t" include { phase: TRAIN }
  transform_param { crop_size: 8 mean_value: 104 mean_value: 117 mean_value: 123 }
  data_param { source: "db" batch_size: 4 backend: LMDB } }
layer { name: "in" type: "Input" top: "x" exclude { phase: TRAIN }
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 6 kernel_size: 3 stride: 2 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p"
  pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "p" top: "y" inner_product_param { num_output: 5 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "l"
  include { phase: TRAIN } }
"""
TWINS = """
input: "a" input: "b" input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1
layers { name: "l" type: INNER_PRODUCT bottom: "a" top: "l" param: "w" param: "b"
  inner_product_param { num_output: 4 } }
layers { name: "r" type: INNER_PRODUCT bottom: "b" top: "r" param: "w" param: "b"
  inner_product_param { num_output: 4 } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.prototxt").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inspected(capsys, *words):
    assert cli.main(["inspect", *map(str, words), "-json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    assert cli.main(["inspect", *map(str, words)]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return line.partition("] ")[2]


def layers_of(found):
    return {layer["name"]: layer for layer in found["layers"]}


# -------------------------------------------------------------------------------------------- nets


def test_a_net_without_its_data(folder, capsys):
    """Batch and crop size give the shapes; the numbers are worked out by hand."""
    found = inspected(capsys, "net.prototxt")
    layers = layers_of(found)
    assert (found["kind"], found["format"], found["phase"]) == (
        "net",
        "prototxt, Caffe 1.0",
        "TRAIN",
    )
    shapes = {top["name"]: top["shape"] for layer in layers.values() for top in layer["tops"]}
    assert shapes == {
        "x": [4, 3, 8, 8],
        "t": [4],
        "c": [4, 6, 3, 3],  # floor((8 - 3) / 2) + 1
        "p": [4, 6, 2, 2],  # ceil((3 - 2) / 2) + 1
        "y": [4, 5],
        "l": [],
    }
    assert "db: no such LMDB folder" in layers["d"]["note"]
    assert [blob["shape"] for blob in layers["conv"]["blobs"]] == [[6, 3, 3, 3], [6]]
    # conv 6 * 27 + 6, bn 6 + 6 + 1, ip 5 * 24 + 5
    assert found["parameters"] == 168 + 13 + 125
    assert found["learnt_parameters"] == 168 + 125
    assert layers["conv"]["multiply_adds"] == 4 * 6 * 9 * 27
    assert layers["ip"]["multiply_adds"] == 4 * 5 * 24
    assert found["multiply_adds"] == 4 * 6 * 9 * 27 + 4 * 5 * 24
    # x, t, c, p, y, l; layers in place add none
    values = 4 * 192 + 4 + 4 * 54 + 4 * 24 + 4 * 5 + 1
    assert found["activation_bytes"] == 4 * values
    # data, gradient and momentum of parameters; data and gradient of blobs
    assert found["training_bytes"] == 3 * 4 * 306 + 2 * 4 * values


def test_the_same_net_in_its_other_phase_and_with_other_shapes(folder, capsys):
    found = inspected(capsys, "net.prototxt", "-phase", "TEST", "-shape", "x:2,3,8,8")
    assert "training_bytes" not in found
    assert found["layers"][0]["name"] == "in"
    assert layers_of(found)["ip"]["tops"] == [{"name": "y", "shape": [2, 5]}]
    assert refused(capsys, "net.prototxt", "-shape", "q:2,3").startswith(
        "net.prototxt: no Input, data or Python layer of this phase produces a blob 'q'"
    )
    assert "-shape takes BLOB:64,3,227,227" in refused(capsys, "net.prototxt", "-shape", "x:2,a")


def test_the_shapes_are_those_of_the_net_that_runs():
    """A net of several layer types, against the runtime's own blobs and parameters."""
    text = """
    layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 9 dim: 7 } } }
    layer { name: "d" type: "Deconvolution" bottom: "x" top: "d"
      convolution_param { num_output: 2 kernel_size: 4 stride: 2 group: 2 } }
    layer { name: "crop" type: "Crop" bottom: "d" bottom: "x" top: "e" crop_param { offset: 1 } }
    layer { name: "s" type: "Slice" bottom: "e" top: "e1" top: "e2" }
    layer { name: "m" type: "Eltwise" bottom: "e1" bottom: "e2" top: "f" }
    layer { name: "r" type: "Reshape" bottom: "f" top: "g"
      reshape_param { shape { dim: 9 dim: -1 dim: 1 } } }
    layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 9 dim: 14 } } }
    layer { name: "l" type: "LSTM" bottom: "g" bottom: "cont" top: "h"
      recurrent_param { num_output: 3 } }
    """
    param = prototxt.parse(text, caffe_pb2.NetParameter())
    net = caffe.Net(param, caffe.TEST)
    param.state.phase = caffe.TEST
    summary = inspect_net.summarize(param, "net")
    shapes = {name: shape for layer in summary.layers for name, shape in layer.tops.items()}
    assert shapes == {n: tuple(b.shape) for n, b in net.blobs.items() if "split" not in n}
    blobs = {s.name: [b.shape for b in s.blobs] for s in summary.layers if s.blobs}
    assert blobs == {n: [tuple(b.shape) for b in v] for n, v in net.params.items()}
    operations = {layer.name: layer.multiply_adds for layer in summary.layers}
    assert operations["d"] == 2 * 4 * 9 * 7 * 1 * 16  # each input to 1 output per group
    assert operations["l"] == 9 * 14 * (12 * 1 + 12 * 3)


def test_unknown_shapes_are_said(folder, capsys):
    (folder / "net.prototxt").write_text(NET.replace("crop_size: 8", ""))
    assert cli.main(["inspect", "net.prototxt"]) == 0
    text = capsys.readouterr().out
    assert "c ?" in text
    assert "give the shape" in text.lower()
    assert "-shape x:64,3,227,227" in text
    found = inspected(capsys, "net.prototxt")
    assert not found["shapes_known"]
    assert layers_of(found)["conv"]["multiply_adds"] is None
    assert inspected(capsys, "net.prototxt", "-shape", "x:4,3,8,8")["parameters"] == 306


def test_a_python_layer_is_not_run(folder, capsys):
    (folder / "net.prototxt").write_text(
        'layer { name: "p" type: "Python" top: "x" top: "y"'
        ' python_param { module: "none" layer: "P" } }'
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "z" }'
    )
    found = inspected(capsys, "net.prototxt", "-shape", "x:2,3")
    layers = layers_of(found)
    assert layers["a"]["tops"] == [{"name": "z", "shape": [2, 3]}]
    assert layers["p"]["tops"][1]["shape"] is None
    assert "class P of module none" in layers["p"]["note"]


def test_an_old_net_whose_layers_share_parameters(folder, capsys):
    (folder / "old.prototxt").write_text(TWINS)
    found = inspected(capsys, "old.prototxt")
    assert found["format"] == "prototxt, V1"
    assert found["parameters"] == 16
    assert [blob["owner"] for blob in layers_of(found)["r"]["blobs"]] == ["l", "l"]
    assert found["multiply_adds"] == 2 * 2 * 12


def test_the_oldest_form(folder, capsys):
    (folder / "v0.prototxt").write_text(
        'input: "x" input_dim: 1 input_dim: 1 input_dim: 5 input_dim: 5'
        ' layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 3 }'
        ' bottom: "x" top: "c" }'
    )
    found = inspected(capsys, "v0.prototxt")
    assert found["format"] == "prototxt, V0"
    assert found["multiply_adds"] == 3 * 3 * 3 * 9


def test_level_and_stage(folder, capsys):
    (folder / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        'layer { name: "a" type: "AbsVal" bottom: "x" top: "a" include { min_level: 3 } }'
        'layer { name: "b" type: "AbsVal" bottom: "x" top: "b" include { stage: "s" } }'
    )
    for words, names in (
        ([], ["x"]),
        (["-level", "3"], ["x", "a"]),
        (["-stage", "r,s"], ["x", "b"]),
    ):
        found = inspected(capsys, "net.prototxt", *words)
        assert [layer["name"] for layer in found["layers"]] == names


def test_what_caffe_refuses_is_one_sentence(folder, capsys):
    (folder / "net.prototxt").write_text(NET.replace("num_output: 6", "num_output: 0"))
    assert "layer 'conv' (Convolution): num_output must be" in refused(capsys, "net.prototxt")
    (folder / "net.prototxt").write_text(NET.replace("dim: 8 } }", "dim: -8 } }"))
    line = refused(capsys, "net.prototxt", "-phase", "TEST")
    assert line.startswith("net.prototxt: layer 'in': a blob cannot have the shape (1, 3, 8, -8)")
    (folder / "net.prototxt").write_text(NET.replace("kernel_size: 3", "kernel: 3"))
    assert refused(capsys, "net.prototxt").startswith("net.prototxt:9: ")
    (folder / "net.prototxt").write_text(NET.replace('bottom: "p"', 'bottom: "q"'))
    assert "the unknown blob 'q'" in refused(capsys, "net.prototxt")


@pytest.mark.parametrize(
    ("text", "shapes", "said"),
    [
        (
            'type: "ImageData" image_data_param { source: "-" batch_size: 5 new_height: 6'
            " new_width: 7 is_color: false }",
            [(5, 1, 6, 7), (5,)],
            "",
        ),
        (
            'type: "Data" data_param { source: "-" batch_size: 2 }'
            " transform_param { crop_size: 9 }",
            [(2, 3, 9, 9), (2,)],
            "3 channels are assumed",
        ),
        (
            'type: "Data" data_param { source: "-" batch_size: 2 }'
            " transform_param { crop_size: 9 force_gray: true }",
            [(2, 1, 9, 9), (2,)],
            "no such LMDB folder",
        ),
        (
            'type: "WindowData" window_data_param { batch_size: 8 crop_size: 5 }'
            " transform_param { crop_size: 5 }",
            [(8, 3, 5, 5), (8, 1, 1, 1)],
            "not read",
        ),
        ('type: "HDF5Data" hdf5_data_param { source: "-" batch_size: 8 }', [None, None], "-: "),
    ],
)
def test_shapes_of_data_layers(folder, text, shapes, said):
    layer = caffe_pb2.LayerParameter()
    prototxt.parse(f'name: "d" top: "x" top: "t" {text}', layer)
    found, note = data_shapes.of_tops(layer)
    assert found == shapes
    assert said in note


def test_a_data_layer_whose_lmdb_is_there(folder):
    image = cv2.imencode(".png", np.zeros((5, 7), np.uint8))[1].tobytes()
    with lmdb.open("db", map_size=1 << 20) as environment, environment.begin(write=True) as t:
        t.put(b"0", caffe_pb2.Datum(data=image, encoded=True).SerializeToString())
    layer = caffe_pb2.LayerParameter(type="Data", top=["x"])
    layer.data_param.source, layer.data_param.batch_size = "db", 2
    assert data_shapes.of_tops(layer) == ([(2, 1, 5, 7)], "")
    layer.data_param.force_encoded_color = True
    assert data_shapes.of_tops(layer) == ([(2, 3, 5, 7)], "")


# ------------------------------------------------------------------------------- weights and states


@pytest.fixture
def weights(folder):
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.params["ip"][0].data[...] = 2
    net.params["ip"][0].data[0, 0] = np.nan
    net.save("w.caffemodel")
    net.save_hdf5("w.caffemodel.h5")
    return folder


@pytest.mark.parametrize("name", ["w.caffemodel", "w.caffemodel.h5"])
def test_weights(weights, capsys, name):
    found = inspected(capsys, name)
    assert (found["kind"], found["parameters"]) == ("weights", 306)
    assert found["format"] == ("HDF5" if name.endswith("h5") else "binary, Caffe 1.0")
    (ip,) = [layer for layer in found["layers"] if layer["name"] == "ip"]
    assert ip["type"] == ("" if name.endswith("h5") else "InnerProduct")
    first, second = ip["blobs"]
    assert (first["shape"], first["not_finite"], first["mean"]) == ([5, 24], 1, None)
    assert (second["shape"], second["deviation"], second["not_finite"]) == ([5], 0, 0)
    assert cli.main(["inspect", name]) == 0
    assert "warning: layer ip, blob 0: 1 NaN or infinite" in capsys.readouterr().out


def test_weights_beside_a_net(weights, capsys):
    def results(*words):
        found = inspected(capsys, "net.prototxt", "-phase", "TEST", "-weights", *words)
        return found["fits"], {row["name"]: row["result"] for row in found["matches"]}

    same = {"conv": "copied", "bn": "copied", "ip": "copied"}
    assert results("w.caffemodel") == (True, same) == results("w.caffemodel.h5")
    other = NET.replace('"ip"', '"ip2"').replace("num_output: 6", "num_output: 4")
    (weights / "net.prototxt").write_text(other)
    fits, rows = results("w.caffemodel")
    assert not fits
    assert rows == {
        "conv": "does not fit",
        "bn": "does not fit",
        "ip2": "keeps its filler",
        "ip": "ignored",
    }
    with pytest.raises(caffe.CaffeError):  # as the runtime itself says
        caffe.Net("net.prototxt", "w.caffemodel", caffe.TEST)
    assert cli.main(["inspect", "net.prototxt", "-phase", "TEST", "-weights", "w.caffemodel"]) == 0
    text = capsys.readouterr().out
    assert "blob 0 is 6x3x3x3 in the file, 4x3x3x3 in the net" in text
    assert "-weights is for the prototxt of a net" in refused(
        capsys, "w.caffemodel", "-weights", "w.caffemodel"
    )


@pytest.mark.parametrize("end", ["", ".h5"])
def test_a_solver_state(folder, capsys, end):
    history = [caffe.Net("net.prototxt", caffe.TEST).params["ip"][0].tensor()]
    (folder / "w.caffemodel").touch()
    snapshot.write_solverstate(f"s.solverstate{end}", 70, "elsewhere/w.caffemodel", 2, history)
    found = inspected(capsys, f"s.solverstate{end}")
    assert (found["kind"], found["iter"], found["current_step"]) == ("solver state", 70, 2)
    assert found["learned_net_exists"]  # beside the state
    assert not found["resumes_exactly"]
    assert [row["shape"] for row in found["history"]] == [[5, 24]]
    assert found["history_bytes"] == 480
    assert cli.main(["inspect", f"s.solverstate{end}"]) == 0
    assert "iteration:     70" in capsys.readouterr().out


def test_a_solver(folder, capsys):
    (folder / "nets").mkdir()
    (folder / "nets" / "net.prototxt").write_text(NET)
    (folder / "nets" / "solver.prototxt").write_text(
        'net: "models/net.prototxt" solver_type: ADAM base_lr: 0.1 test_iter: 3 test_interval: 2'
    )
    found = inspected(capsys, "nets/solver.prototxt")
    assert (found["kind"], found["type"]) == ("solver", "Adam")
    assert found["settings"]["base_lr"] == 0.1
    assert [net["phase"] for net in found["nets"]] == ["TRAIN", "TEST"]
    assert found["notes"] == ["net: models/net.prototxt is taken from the solver's folder"]
    train = found["nets"][0]
    assert train["training_bytes"] == 4 * 4 * 306 + 2 * train["activation_bytes"]
    (folder / "nets" / "net.prototxt").unlink()
    (folder / "net.prototxt").unlink()
    found = inspected(capsys, "nets/solver.prototxt")
    assert found["nets"] == []
    assert found["notes"] == ["net: models/net.prototxt: No such file or directory"]
    assert cli.main(["inspect", "nets/solver.prototxt"]) == 0
    assert "note: net: models/net.prototxt" in capsys.readouterr().out
    (folder / "nets" / "solver.prototxt").write_text('net: "a" base_rl: 0.1')
    assert '"SolverParameter" has no field named "base_rl"' in refused(
        capsys, "nets/solver.prototxt"
    )


# -------------------------------------------------------------------------------------- other files


def test_mean_files(folder, capsys):
    mean = np.stack([np.full((2, 4), c, np.float32) for c in (104, 117, 123)])
    blob = b"".join(wire.blob_pieces(mean[None]))
    (folder / "m.binaryproto").write_bytes(blob)
    old = b"".join(bytes([8 * (i + 1), n]) for i, n in enumerate((1, 3, 2, 4)))
    values = mean.astype("<f4").tobytes()
    (folder / "old.binaryproto").write_bytes(
        old + wire.header(wire.BLOB_DATA, len(values)) + values
    )
    np.save("m.npy", mean)
    assert weights_file.read_blob_file("old.binaryproto").shape == (1, 3, 2, 4)
    for name, kind in (("m.binaryproto", "blob"), ("old.binaryproto", "blob"), ("m.npy", "array")):
        found = inspected(capsys, name)
        assert (found["kind"], found["channel_means"]) == (kind, [104, 117, 123])
        assert (found["least"], found["greatest"], found["not_finite"]) == (104, 123, 0)
        assert cli.main(["inspect", name]) == 0
        assert "104.0000, 117.0000, 123.0000" in capsys.readouterr().out


def put(environment, rows):
    with environment.begin(write=True) as transaction:
        for key, datum in rows:
            transaction.put(key, datum.SerializeToString())


def test_an_lmdb(folder, capsys):
    """JPEGs of two sizes; the second one is decoded for its channels."""
    small, large = (
        cv2.imencode(".jpg", np.zeros(shape, np.uint8))[1].tobytes()
        for shape in ((4, 6, 3), (8, 6))
    )
    with lmdb.open("db", map_size=1 << 22) as environment:
        rows = [(b"%08d" % i, caffe_pb2.Datum(data=small, encoded=True, label=i)) for i in range(3)]
        put(environment, [*rows, (b"z", caffe_pb2.Datum(data=large, encoded=True, label=7))])
    found = inspected(capsys, "db")
    assert (found["kind"], found["records"], found["read"]) == ("LMDB", 4, 4)
    assert (found["first_key"], found["last_key"]) == ("00000000", "z")
    assert found["sizes"] == [[3, 4, 6, 3], [1, 8, 6, 1]]
    assert found["data"] == {"JPEG": 4}
    assert found["labels"] == {"least": 0, "greatest": 7, "different": 4}
    assert cli.main(["inspect", "db"]) == 0
    assert "3x4x6 (3); 1x8x6 (1)" in capsys.readouterr().out


def test_a_large_lmdb_is_sampled(folder, capsys):
    """The sample is spread over the keys: labels that come one after the other are both in it."""
    with lmdb.open("db", map_size=1 << 24) as environment:
        datum = [
            caffe_pb2.Datum(float_data=[1, 2], channels=2, height=1, width=1, label=i)
            for i in (0, 1)
        ]
        put(environment, ((b"%08d" % i, datum[i >= 2500]) for i in range(3000)))
    found = inspected(capsys, "db")
    assert found["records"] == 3000
    assert found["read"] == 200
    assert found["labels"]["different"] == 2
    assert found["sizes"] == [[2, 1, 1, found["read"]]]
    assert found["data"] == {"floats": found["read"]}


def test_hdf5_data(folder, capsys):

    with h5py.File("x.h5", "w") as f:
        f["x"], f["label"] = np.zeros((6, 3), np.float32), np.arange(6)
    found = inspected(capsys, "x.h5")
    assert found["kind"] == "HDF5 data"
    assert {row["name"]: row["shape"] for row in found["datasets"]} == {"x": [6, 3], "label": [6]}


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("none", None, "none: No such file or directory"),
        ("empty", b"", "empty: is empty"),
        ("page", b"<!DOCTYPE html><html>", "page: is an HTML page"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "a.png: is a PNG image"),
        ("a.zip", b"PK\x03\x04", "a.zip: is a zip archive"),
        ("noise", bytes(range(256)), "noise: is truncated or not a Caffe file"),
        ("a.npy", b"\x93NUMPY\x01\x00", "a.npy: is not a readable NumPy array"),
        ("text", b"hello", "text:1: "),
        ("comment", b"# nothing", "comment: is a prototxt without layers"),
        ("data.mdb", b"\0" * 99, "data.mdb: is a part of an LMDB; give its folder"),
        ("h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "h5: is a damaged HDF5 file"),
    ],
)
def test_bad_files_are_one_sentence(folder, capsys, name, data, sentence):
    if data is not None:
        (folder / name).write_bytes(data)
    assert refused(capsys, name).startswith(sentence)


def test_bad_folders_are_one_sentence(folder, capsys):
    (folder / "leveldb").mkdir()
    (folder / "leveldb" / "CURRENT").write_text("MANIFEST-000002\n")
    assert refused(capsys, "leveldb").startswith("leveldb: is a LevelDB, which is not supported")
    (folder / "other").mkdir()
    assert refused(capsys, "other").startswith("other: is a folder, but not an LMDB")
    lmdb.open("bare", map_size=1 << 20).close()
    assert refused(capsys, "bare") == "bare: the LMDB holds no records"
    with lmdb.open("text", map_size=1 << 20) as environment, environment.begin(write=True) as t:
        t.put(b"k", b"hello")
    assert refused(capsys, "text") == "text: record k is not a Datum"


def test_truncated_weights_and_states(weights, capsys):
    snapshot.write_solverstate("s.solverstate", 7, "w", 0, [])
    state = (weights / "s.solverstate").read_bytes()
    (weights / "s").write_bytes(state + struct.pack("<BB", 26, 99))
    model = (weights / "w.caffemodel").read_bytes()
    for data in (model[: len(model) // 2], model[:-1]):
        (weights / "w").write_bytes(data)
        assert refused(capsys, "w") == "w: is truncated or not a Caffe file"
    assert refused(capsys, "s") == "s: is truncated or not a Caffe file"


def test_every_prototxt_of_the_project_is_described():
    paths = sorted((Path(__file__).parents[2] / "CNN").rglob("*.prototxt"))
    assert len(paths) > 20
    for path in paths:
        found = inspect_files.read(str(path))
        assert found["kind"] == ("solver" if "solver" in path.name else "net")
