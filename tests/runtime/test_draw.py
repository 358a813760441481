"""caffe.draw: nets as Graphviz text, and as pictures where Graphviz is installed."""

import shutil
import sys

import pytest

import caffe
from caffe import draw, prototxt
from caffe.proto import caffe_pb2

NET = """
name: "small"
layer { name: "d" type: "Data" top: "x" include { phase: TRAIN } data_param { batch_size: 7 } }
layer { name: "in" type: "Input" top: "x" exclude { phase: TRAIN } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 5 kernel_h: 3 kernel_w: 1 pad: 2 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "y|{1}" type: "InnerProduct" bottom: "p" top: "y" inner_product_param { num_output: 4 } }
"""


@pytest.fixture
def net():
    return prototxt.parse(NET, caffe_pb2.NetParameter())


def saved(net, path, **keywords):
    draw.draw_net_to_file(net, str(path), **keywords)
    return path.read_text()


def test_nodes_and_edges(net, tmp_path):
    rows = saved(net, tmp_path / "net.dot", phase=caffe.TRAIN).splitlines()
    assert rows[:2] == ['digraph "small" {', "rankdir=LR;"] and rows[-1] == "}"
    edges = [row for row in rows if "->" in row]
    assert edges == [
        '"d_Data" -> "x_blob" [label="Batch 7"];',
        '"x_blob" -> "c_Convolution" [label=""];',
        '"c_Convolution" -> "c_blob" [label="5"];',
        '"c_blob" -> "r_ReLU" [label=""];',
        '"r_ReLU" -> "c_blob" [label=""];',
        '"c_blob" -> "p_Pooling" [label=""];',
        '"p_Pooling" -> "p_blob" [label=""];',
        '"p_blob" -> "y\\|\\{1\\}_InnerProduct" [label=""];',
        '"y\\|\\{1\\}_InnerProduct" -> "y_blob" [label="4"];',
    ]
    nodes = dict(row.split(" [", 1) for row in rows[2:-1] if "->" not in row)
    assert len(nodes) == 5 + 4
    convolution = r'label="c\n(Convolution)\nkernel size: 3x1\nstride: 1\npad: 2", shape="record"'
    assert nodes['"c_Convolution"'].startswith(convolution) and "#FF5050" in nodes['"c_Convolution"']
    assert r"p\n(AVE Pooling)\nkernel size: 3\nstride: 2\npad: 0" in nodes['"p_Pooling"']
    assert "#90EE90" in nodes['"r_ReLU"'] and "octagon" in nodes['"x_blob"']
    assert r'label="y\|\{1\}\n(InnerProduct)"' in nodes['"y\\|\\{1\\}_InnerProduct"']


def test_phases(net, tmp_path):
    layers = {phase: [n in saved(net, tmp_path / "n.gv", phase=phase) for n in ("d_Data", "in_Input")] for phase in (0, 1, None)}
    assert layers == {caffe.TRAIN: [True, False], caffe.TEST: [False, True], None: [True, True]}


def test_upright_labels_are_in_one_line(net, tmp_path):
    text = saved(net, tmp_path / "net.raw", rankdir="TB")
    assert "rankdir=TB;" in text and 'label="r (ReLU)"' in text


def test_old_nets_are_drawn_and_left_as_they_are(tmp_path):
    net = prototxt.parse('layers { name: "r" type: RELU bottom: "x" top: "y" }', caffe_pb2.NetParameter())
    assert '"r_ReLU" -> "y_blob"' in saved(net, tmp_path / "net.dot")
    assert len(net.layers) == 1


def test_refused(net, tmp_path, monkeypatch):
    monkeypatch.setattr(draw.shutil, "which", lambda name: None)
    with pytest.raises(caffe.CaffeError, match="needs Graphviz's program `dot`, which is not installed"):
        draw.draw_net_to_file(net, str(tmp_path / "net.png"))
    with pytest.raises(caffe.CaffeError, match="rankdir is one of TB, BT, LR, RL, not 'up'"):
        draw.draw_net_to_file(net, str(tmp_path / "net.dot"), "up")
    with pytest.raises(caffe.CaffeError, match="the suffix says the format"):
        draw.draw_net_to_file(net, str(tmp_path / "net"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A stand-in for `dot`: it prints its arguments and what it read, or complains about the format xyz."""
    path = tmp_path / "dot"
    path.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "sys.exit('Format: \"xyz\" not\\nrecognized') if sys.argv[1] == '-Txyz' else print(sys.argv[1:], sys.stdin.read())\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(draw.shutil, "which", lambda name: str(path))


def test_pictures_are_made_by_dot(net, tmp_path, program):
    text = saved(net, tmp_path / "net.dot")
    assert saved(net, tmp_path / "net.SVG") == f"['-Tsvg'] {text}\n"
    with pytest.raises(caffe.CaffeError, match='dot cannot draw the net as xyz: Format: "xyz" not recognized'):
        draw.draw_net_to_file(net, str(tmp_path / "net.xyz"))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it(net, tmp_path):
    svg = saved(net, tmp_path / "net.svg")
    assert "<svg" in svg and "kernel size: 3x1" in svg and "y|{1}" in svg
    draw.draw_net_to_file(net, str(tmp_path / "net.png"))
    assert (tmp_path / "net.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
