"""Whatever is in a file, the readers end: with a message, or with a CaffeError of one line; never with another exception."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import caffe
from caffe import io, prototxt, snapshot
from caffe.proto import caffe_pb2

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NET = """name: "n"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4
  weight_filler { type: "xavier" } } }
"""


def ends_well(read, path):
    try:
        return read(str(path))
    except caffe.CaffeError as error:
        assert path.name in str(error) and "\n" not in str(error)


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
    for read in (snapshot.read_caffemodel, snapshot.read_solverstate, io.read_mean_file, prototxt.read_net):
        ends_well(read, path)


@FUZZ
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 60))
def test_weights_with_a_byte_changed_and_an_end_lost(tmp_path, place, byte, lost):
    data = bytearray(weights())
    data[place % len(data)] = byte
    path = tmp_path / "w.caffemodel"
    path.write_bytes(bytes(data[: len(data) - lost]))
    for blobs in (ends_well(snapshot.read_caffemodel, path) or {}).values():
        assert all(blob.array().shape == blob.shape for blob in blobs)


@pytest.mark.parametrize("end", ["caffemodel.h5", "solverstate.h5"])
def test_any_bytes_as_hdf5(tmp_path, end):
    path = tmp_path / f"any.{end}"
    for data in (b"", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(500), b"text"):
        path.write_bytes(data)
        with pytest.raises(caffe.CaffeError, match="any"):
            (snapshot.read_caffemodel if "model" in end else snapshot.read_solverstate)(str(path))


def test_deep_nesting_is_refused(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text("layer { " * 5000)
    with pytest.raises(caffe.CaffeError):
        prototxt.read_net(str(path))
