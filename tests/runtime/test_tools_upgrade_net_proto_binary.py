"""upgrade_net_proto_binary: old .caffemodels in today's form, weights included."""

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from caffe.tools.upgrade_net_proto_binary import main

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
"""


@pytest.fixture
def old(tmp_path):
    """A V1 .caffemodel with the weights 0.5, -2 and the bias 4."""
    net = caffe_pb2.NetParameter(name="old")
    layer = net.layers.add(
        name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT, bottom=["x"], top=["y"]
    )
    layer.inner_product_param.num_output = 1
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[0.5, -2])
    layer.blobs.add(num=1, channels=1, height=1, width=1, data=[4])
    (tmp_path / "old").write_bytes(net.SerializeToString())
    return tmp_path / "old"


def test_the_weights_come_along(old, tmp_path, capsys):
    new = tmp_path / "new.caffemodel"
    assert main([str(old), str(new)]) == 0
    net = caffe_pb2.NetParameter.FromString(new.read_bytes())
    assert not net.layers
    assert net.layer[0].type == "InnerProduct"
    assert list(net.layer[0].blobs[0].data) == [0.5, -2]
    log = capsys.readouterr().err
    assert "Wrote upgraded NetParameter binary proto to" in log
    assert "already in latest" not in log
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), str(new), caffe.TEST)
    assert net.forward(x=np.array([[2, 1]]))["y"].item() == 2 * 0.5 - 2 + 4


def test_a_current_net_is_unchanged(old, tmp_path, capsys):
    assert main([str(old), str(tmp_path / "new")]) == 0
    assert main([str(tmp_path / "new"), str(tmp_path / "again")]) == 0
    assert (tmp_path / "new").read_bytes() == (tmp_path / "again").read_bytes()
    assert "File already in latest proto format" in capsys.readouterr().err


def test_input_without_dims_is_stripped(old, tmp_path):
    """Caffe: "a legacy caffemodel and simply stripping the input field is enough"."""
    net = caffe_pb2.NetParameter.FromString(old.read_bytes())
    net.input.append("x")
    old.write_bytes(net.SerializeToString())
    assert main([str(old), str(tmp_path / "new")]) == 0
    new = caffe_pb2.NetParameter.FromString((tmp_path / "new").read_bytes())
    assert not new.input
    assert [layer.name for layer in new.layer] == ["ip"]
    assert list(new.layer[0].blobs[0].data) == [0.5, -2]


def test_strings_that_are_not_utf_8_are_read_as_latin_1(old, tmp_path):
    net = caffe_pb2.NetParameter.FromString(old.read_bytes())
    net.layers[0].name = net.layers[0].bottom[0] = "caf?"
    net.layers[0].param.append("caf?")
    old.write_bytes(net.SerializeToString().replace(b"caf?", b"caf\xe9"))
    assert main([str(old), str(tmp_path / "new")]) == 0
    (layer,) = caffe_pb2.NetParameter.FromString((tmp_path / "new").read_bytes()).layer
    assert (layer.name, list(layer.bottom), layer.param[0].name) == ("café", ["café"], "café")


def test_refused(old, tmp_path, fatal, capsys):
    out = tmp_path / "out"
    assert "No such file" in fatal(main, tmp_path / "none", out)
    (tmp_path / "cut").write_bytes(old.read_bytes()[:-3])
    assert "is truncated or not a Caffe file" in fatal(main, tmp_path / "cut", out)
    (tmp_path / "empty").write_bytes(caffe_pb2.NetParameter(name="empty").SerializeToString())
    assert "has no layers" in fatal(main, tmp_path / "empty", out)
    assert "expected V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT" in fatal(main, old, out, "more")
    assert not out.exists()
    assert main(["--help"]) == 0
    assert "usage: caffe upgrade_net_proto_binary" in capsys.readouterr().out
