"""Whatever a file holds, its reader succeeds or raises a CaffeError of one line.

FUZZ_MUTANTS=2000 makes more damaged copies, FUZZ_SEED=1 others.
"""

import itertools
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutants

import caffe
from caffe import inspect_files, inspect_text, io, prototxt, snapshot, upgrade, weights_file
from caffe.data_transformer import DataTransformer
from caffe.database import LMDB, Writer
from caffe.proto import caffe_pb2
from caffe.tools import upgrade_net_proto_binary
from texttopicnet import features
from texttopicnet.errors import UserError

FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NET = """name: "n"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4
  weight_filler { type: "xavier" } } }
"""


def ends_well(read, path):
    try:
        return read(str(path))
    except caffe.CaffeError as error:
        assert path.name in str(error)
        assert "\n" not in str(error)


def weights():
    net = caffe_pb2.NetParameter(name="n")
    layer = net.layer.add(name="ip", type="InnerProduct")
    layer.blobs.add(data=np.arange(12, dtype=np.float32)).shape.dim.extend([4, 3])
    old = net.layers.add(name="old")
    old.blobs.add(num=1, channels=1, height=1, width=2, data=[1, 2])
    return net.SerializeToString()


@FUZZ
@given(st.text(alphabet="layer{}:\"_#;,<>[]0123456789.-e \n\\'nametyp", max_size=120))
def test_any_text_as_a_net(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    ends_well(prototxt.read_net, path)
    ends_well(prototxt.read_solver, path)


@FUZZ
@given(
    st.integers(0, len(NET)),
    st.integers(0, len(NET)),
    st.sampled_from(["", "{", "}", '"', "-1", "99999999999999999999", "dim: 0"]),
)
def test_a_net_with_a_piece_replaced(tmp_path, start, length, piece):
    path = tmp_path / "net.prototxt"
    path.write_text(NET[:start] + piece + NET[start + length % 12 :])
    try:
        caffe.Net(str(path), caffe.TEST)
    except caffe.CaffeError as error:
        assert "\n" not in str(error)


@FUZZ
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path, data):
    path = tmp_path / "any.bin"
    path.write_bytes(data)
    for read in (
        weights_file.read_caffemodel,
        snapshot.read_solverstate,
        weights_file.read_blob_file,
        io.read_mean_file,
        prototxt.read_net,
    ):
        ends_well(read, path)


@FUZZ
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 60))
def test_weights_with_a_byte_changed_and_an_end_lost(tmp_path, place, byte, lost):
    data = bytearray(weights())
    data[place % len(data)] = byte
    path = tmp_path / "w.caffemodel"
    path.write_bytes(bytes(data[: len(data) - lost]))
    for blobs in (ends_well(weights_file.read_caffemodel, path) or {}).values():
        assert all(blob.array().shape == blob.shape for blob in blobs)


@pytest.mark.parametrize("end", ["caffemodel.h5", "solverstate.h5"])
def test_any_bytes_as_hdf5(tmp_path, end):
    path = tmp_path / f"any.{end}"
    for data in (b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(500), b"text"):
        path.write_bytes(data)
        with pytest.raises(caffe.CaffeError, match="any"):
            (weights_file.read_caffemodel if "model" in end else snapshot.read_solverstate)(
                str(path)
            )


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("layer { " * 5000)
    with pytest.raises(caffe.CaffeError):
        prototxt.read_net(str(path))


# --------------------------------------------------------------------- damaged copies of real files

DEPLOY = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
layer { name: "a/b" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 2 } }
layer { name: "c//d" type: "InnerProduct" bottom: "z" top: "w"
  inner_product_param { num_output: 1 } }
"""
HISTORY = [torch.arange(12.0).reshape(4, 3), torch.arange(4.0)]


def deploy(folder):
    (folder / "net.prototxt").write_text(DEPLOY)
    return caffe.Net(str(folder / "net.prototxt"), caffe.TEST)


def compressed_weights(path):
    """As other programs write them: the newest format, chunks, filters."""
    with h5py.File(path, "w") as f:
        f.create_dataset(
            "data/ip/0",
            data=np.random.default_rng(0).random((40, 30)),
            chunks=(8, 8),
            compression="gzip",
            shuffle=True,
        )
        f.create_dataset("data/ip/1", data=np.ones(40, "f4"), compression="lzf")
        f.create_dataset("data/ip/2", data=np.ones(40, "f4"), fletcher32=True, chunks=(4,))


def newest_weights(path):
    with h5py.File(path, "w", libver="latest", track_order=True) as f:
        f["data/ip/0"], f["data/ip/1"], f["data/a/b/0"] = (
            np.ones((4, 3), "f4"),
            np.ones(4),
            np.ones((2, 4), "i4"),
        )


def state_with_a_variable_string(path):
    with h5py.File(path, "w") as f:
        f["iter"], f["current_step"], f["learned_net"] = (
            np.int32(3),
            np.int32(1),
            "x_iter_3.caffemodel",
        )
        f["history/0"], f["history/1"] = np.ones((4, 3), "f4"), np.ones(4, "f4")


def features_file(path):
    features.save(
        path, features.Features(["a/1", "b.c/2"], np.ones((2, 3), np.float32), "fc7", "ab" * 32)
    )


def compressed_features(path):
    arrays = {
        "ids": ["a", "b"],
        "features": np.ones((2, 30), np.float32),
        "blob": "fc7",
        "weights_sha256": "ab",
    }
    np.savez_compressed(path, **arrays)


def mean_file(path):
    path.write_bytes(io.array_to_blobproto(np.arange(12).reshape(3, 2, 2)).SerializeToString())


OLD = {
    "v0": """layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "p" }
layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 3 blobs_lr: 4 blobs { num: 1
  channels: 1 height: 1 width: 2
  data: 1 data: 2 } } bottom: "p" top: "c" }
layers { layer { name: "m" type: "pool" pool: AVE kernelsize: 2 cropsize: 3 } bottom: "c"
  top: "m" } input: "x"
input_dim: 1 input_dim: 1 input_dim: 5 input_dim: 5""",
    "v1": """input: "x" input_shape { dim: 1 dim: 2 }
layers { name: "i" type: INNER_PRODUCT bottom: "x" top: "i"
  param: "w" blobs_lr: 1 weight_decay: 0 blob_share_mode: PERMISSIVE
  inner_product_param { num_output: 2 } include { phase: TEST } }
layers { name: "d" type: DATA top: "d" data_param { source: "db" scale: 2 mirror: true } }""",
}


def old_text(version):
    return lambda path: path.write_text(OLD[version])


def old_weights(version):
    return lambda path: path.write_bytes(
        prototxt.parse(OLD[version], caffe_pb2.NetParameter()).SerializeToString()
    )


def upgraded(path):
    net = upgrade_net_proto_binary.read(path)
    upgrade.upgrade_net(net, str(path))
    prototxt.to_text(net)


def solver_text(path):
    text = "base_lr: 0.1 lr_policy: 'fixed' solver_type: ADAM # é\nweights: 'a\\303\\251'\n"
    text += "net_param { %s }"
    path.write_text(text % OLD["v1"])


FILES = {
    "v0.prototxt": (old_text("v0"), prototxt.read_net),
    "v1.prototxt": (old_text("v1"), prototxt.read_net),
    "solver.prototxt": (solver_text, prototxt.read_solver),
    "v0.caffemodel": (old_weights("v0"), upgraded),
    "v1.caffemodel": (old_weights("v1"), upgraded),
    "v0w.caffemodel": (old_weights("v0"), weights_file.read_caffemodel),
    "w.caffemodel": (
        lambda path: deploy(path.parent).save(str(path)),
        weights_file.read_caffemodel,
    ),
    "w.caffemodel.h5": (
        lambda path: deploy(path.parent).save_hdf5(str(path)),
        weights_file.read_caffemodel,
    ),
    "compressed.caffemodel.h5": (compressed_weights, weights_file.read_caffemodel),
    "newest.caffemodel.h5": (newest_weights, weights_file.read_caffemodel),
    "s.solverstate": (
        lambda path: snapshot.write_solverstate(str(path), 3, "x", 1, HISTORY),
        snapshot.read_solverstate,
    ),
    "s.solverstate.h5": (
        lambda path: snapshot.write_solverstate(str(path), 3, "x", 1, HISTORY),
        snapshot.read_solverstate,
    ),
    "string.solverstate.h5": (state_with_a_variable_string, snapshot.read_solverstate),
    "mean.binaryproto": (mean_file, io.read_mean_file),
    "f.npz": (features_file, features.load),
    "compressed.npz": (compressed_features, features.load),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path, name):
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    data = path.read_bytes()
    read(path)
    refused = 0
    for damaged in mutants(data):
        path.write_bytes(damaged)
        try:
            read(path)
        except (caffe.CaffeError, UserError) as error:
            refused += 1
            assert name in str(error)
            assert "\n" not in str(error)
    assert refused > 0


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("npz")])
def test_damaged_files_are_inspected_or_refused(tmp_path, name):
    path = tmp_path / name
    FILES[name][0](path)
    data = path.read_bytes()
    for damaged in [data, *itertools.islice(mutants(data), 0, None, 6)]:
        path.write_bytes(damaged)
        try:
            assert inspect_text.text(inspect_files.read(str(path))).startswith(str(path))
        except caffe.CaffeError as error:
            assert name in str(error)
            assert "\n" not in str(error)


def test_damaged_weights_leave_the_net_as_it_is_or_are_taken_whole(tmp_path):
    net, path = deploy(tmp_path), tmp_path / "w.caffemodel"
    net.save(str(path))
    for damaged in mutants(path.read_bytes()):
        path.write_bytes(damaged)
        before = [blob.data.copy() for layer in net.layers for blob in layer.blobs]
        try:
            net.copy_from(str(path))
        except caffe.CaffeError as error:
            assert "w.caffemodel" in str(error)
            assert "\n" not in str(error)
            after = [blob.data for layer in net.layers for blob in layer.blobs]
            assert all(
                np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True)
            )


def datums():
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    shape = {"channels": 3, "height": 5, "width": 4, "label": 7}
    yield "raw", caffe_pb2.Datum(data=image.transpose(2, 0, 1).tobytes(), **shape)
    yield "floats", caffe_pb2.Datum(float_data=image.reshape(-1).tolist(), **shape)
    for end in (".png", ".jpg", ".bmp"):
        yield (
            end,
            caffe_pb2.Datum(data=cv2.imencode(end, image)[1].tobytes(), encoded=True, **shape),
        )


@pytest.mark.parametrize(("kind", "datum"), [pytest.param(*pair, id=pair[0]) for pair in datums()])
def test_damaged_records(tmp_path, kind, datum):
    """Through the database and transformation of a Data layer, and through datum_to_array."""
    damaged = list(mutants(datum.SerializeToString()))
    with Writer(tmp_path / "db") as writer:
        for i, record in enumerate(damaged):
            writer.put(f"{i:08d}", record)
    database = LMDB(str(tmp_path / "db"))
    layer = SimpleNamespace(name="data", train=False, param=caffe_pb2.LayerParameter())
    transformer = DataTransformer(layer, caffe_pb2.TransformationParameter())
    decoded = 0
    for i in range(len(damaged)):
        try:
            found = database.datum(i)
            pixels = transformer.pixels(found, f"record {database.key_text(i)}")
            assert pixels.ndim == 3
            assert min(pixels.shape) > 0
            decoded += 1
        except caffe.CaffeError as error:
            assert f"record {i:08d}" in str(error)
            assert "\n" not in str(error)
            continue
        try:
            io.datum_to_array(found)
        except caffe.CaffeError as error:
            assert "\n" not in str(error)
    assert decoded
