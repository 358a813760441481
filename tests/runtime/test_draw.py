"""caffe.draw: nets as Graphviz text, and as pictures where Graphviz is installed."""

import shutil
import sys
from pathlib import Path

import pytest

import caffe
from caffe import dot, draw, prototxt
from caffe.proto import caffe_pb2

NET = """
name: "small"
layer { name: "d" type: "Data" top: "x" include { phase: TRAIN } data_param { batch_size: 7 } }
layer { name: "in" type: "Input" top: "x" exclude { phase: TRAIN } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 5 kernel_h: 3 kernel_w: 1 pad: 2 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p/q"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layer { name: "y|{1}" type: "InnerProduct" bottom: "p/q" top: "y"
  inner_product_param { num_output: 4 } }
"""


@pytest.fixture
def net():
    return prototxt.parse(NET, caffe_pb2.NetParameter())


def saved(net, path, **keywords):
    draw.draw_net_to_file(net, str(path), **keywords)
    return path.read_text()


def test_the_text_is_that_of_pydot(net, tmp_path):
    """The text of BVLC's draw: nodes by label, plain names unquoted, the output in plain style."""
    record = "shape=record, fillcolor={}, style=filled"
    octagon = '[shape=octagon, fillcolor="#E0E0E0", style=filled];'
    layers = {
        "d": r'"d\n(Data)"',
        "c": r'"c\n(Convolution)\nkernel size: 3x1\nstride: 1\npad: 2"',
        "r": r'"r\n(ReLU)"',
        "p": r'"p\n(Pooling AVE)\nkernel size: 3\nstride: 2\npad: 0"',
        "y": r'"y|{1}\n(InnerProduct)"',
    }
    colours = {"d": "#6495ED", "c": "#FF5050", "r": "#90EE90", "p": "#FF9900", "y": "#CC33FF"}
    node = {
        name: f"{label} [{record.format(chr(34) + colours[name] + chr(34))}];"
        for name, label in layers.items()
    }
    expected = [
        "digraph small {",
        "rankdir=LR;",
        node["d"],
        f"x {octagon}",
        node["c"],
        f"c {octagon}",
        node["r"],
        node["p"],
        f'"p/q" {octagon}',
        node["y"],
        "y;",
        f'{layers["d"]} -> x [label="Batch 7"];',
        f'x -> {layers["c"]} [label=""];',
        f"{layers['c']} -> c [label=5];",
        f'c -> {layers["r"]} [label=""];',
        f'{layers["r"]} -> c [label=""];',
        f'c -> {layers["p"]} [label=""];',
        f'{layers["p"]} -> "p/q" [label=""];',
        f'"p/q" -> {layers["y"]} [label=""];',
        f"{layers['y']} -> y [label=4];",
        "}",
    ]
    assert saved(net, tmp_path / "net.dot", phase=caffe.TRAIN).splitlines() == expected
    graph = draw.get_pydot_graph(net, "LR", phase=caffe.TRAIN)
    assert graph.to_string().splitlines() == expected
    plain = draw.get_pydot_graph(net, "LR", label_edges=False, phase=caffe.TRAIN).to_string()
    assert plain.count('[label=""]') == 9
    assert "Batch" not in plain


def test_the_graph_has_pydots_methods(net, tmp_path):
    graph = draw.get_pydot_graph(net, "LR")
    assert graph.get_name() == "small"
    assert len(graph.get_nodes()) == 10
    assert len(graph.get_edges()) == 10
    edge = graph.get_edges()[0]
    assert edge.get_source() == r'"d\n(Data)"'
    assert edge.get_destination() == "x" == graph.get_nodes()[1].get_name()
    assert graph.write(str(tmp_path / "a.txt"))
    assert graph.write_dot(tmp_path / "b.txt")
    assert (
        graph.create_raw().decode()
        == (tmp_path / "a.txt").read_text()
        == (tmp_path / "b.txt").read_text()
    )
    assert not hasattr(graph, "paint")
    assert draw.get_pydot_graph(caffe_pb2.NetParameter(), "TB").get_name() == "Net"


def layer(text):
    (found,) = prototxt.parse(f"layer {{ {text} }}", caffe_pb2.NetParameter()).layer
    return found


CONVOLUTION = 'name: "c" type: "Convolution" convolution_param { num_output: 5 kernel_size: 3 }'


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('name: "a" type: "ReLU"', r"a\n(ReLU)"),
        (CONVOLUTION, r"c\n(Convolution)\nkernel size: 3\nstride: 1\npad: 0\nlr mult: 1.0, 1.0"),
        (
            CONVOLUTION + " param { lr_mult: 0.25 }",
            r"c\n(Convolution)\nkernel size: 3\nstride: 1\npad: 0\nlr mult: 0.2, 1.0",
        ),
        (
            CONVOLUTION + " param { lr_mult: 0 } param { lr_mult: 0 }",
            r"c\n(Convolution)\nkernel size: 3\nstride: 1\npad: 0",
        ),
        (
            'name: "d" type: "Deconvolution" param { } param { lr_mult: 2 }',
            r"d\n(Deconvolution)\nkernel size: 1\nstride: 1\npad: 0\nlr mult: 1.0, 2.0",
        ),
        ('name: "y" type: "InnerProduct"', r"y\n(InnerProduct)\nlr mult: 1.0, 1.0"),
        (
            'name: "p" type: "Pooling" pooling_param { pool: MAX kernel_size: 2 stride: 2 }',
            r"p\n(Pooling MAX)\nkernel size: 2\nstride: 2\npad: 0",
        ),
        (
            'name: "p" type: "Pooling" pooling_param { pool: AVE global_pooling: true }',
            r"p\n(Pooling AVE)\nkernel size: global\nstride: 1\npad: 0",
        ),
        (r'name: "q\"" type: "ReLU"', r"q\"\n(ReLU)"),
    ],
)
def test_labels(text, label):
    assert draw.get_layer_label(layer(text), "LR", display_lrm=True) == f'"{label}"'
    without = label.split(r"\nlr mult")[0]
    assert draw.get_layer_label(layer(text), "LR") == f'"{without}"'
    assert draw.get_layer_label(layer(text), "TB") == '"' + without.replace(r"\n", " ") + '"'


def test_learning_rates_are_drawn_on_request(net):
    text = draw.draw_net(net, "LR", "dot", display_lrm=True).decode()
    assert text.count("lr mult: 1.0, 1.0") == 2 * 2 + 2  # nodes and edges
    assert b"lr mult" not in draw.draw_net(net, "LR", "dot")
    assert draw.get_layer_lr_mult(layer(CONVOLUTION + " param { lr_mult: 3 }")) == (3, 1)
    with pytest.raises(ValueError, match="ReLU layers do not have a learning rate multiplier"):
        draw.get_layer_lr_mult(layer('name: "a" type: "ReLU"'))
    with pytest.raises(ValueError, match="expected at most 2 param, found 3"):
        draw.get_layer_lr_mult(layer(CONVOLUTION + " param { } param { } param { }"))


def test_edges_and_colours():
    assert draw.get_edge_label(layer('type: "Data" data_param { batch_size: 64 }')) == "Batch 64"
    assert draw.get_edge_label(layer(CONVOLUTION)) == "5"
    assert draw.get_edge_label(layer('type: "ReLU"')) == '""'
    assert draw.choose_color_by_layertype("Deconvolution") == "#FF5050"
    assert draw.choose_color_by_layertype("Softmax") == "#6495ED"
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}


def test_names_that_need_quotes():
    assert [
        dot.quoted(name)
        for name in ("conv1", "_a", "12", "1.5", "node", "a-b", "3a", "a:b", 'q"', "back\\slash")
    ] == [
        "conv1",
        "_a",
        "12",
        "1.5",
        '"node"',
        '"a-b"',
        '"3a"',
        '"a:b"',
        r'"q\""',
        r'"back\\slash"',
    ]


NETS = sorted(
    path
    for folder in ("CNN", "experiments", "models")
    for path in (Path(__file__).parents[2] / folder).rglob("*.prototxt")
    if "solver" not in path.name
)


@pytest.mark.parametrize("path", NETS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_prototxt_of_the_project_is_drawn(path):
    found = prototxt.parse(path.read_text(), caffe_pb2.NetParameter())
    graph = draw.get_pydot_graph(found, "LR")
    text = draw.draw_net(found, "LR", "dot").decode()
    for layer in found.layer:
        assert draw.get_layer_label(layer, "LR") in text
    assert (
        len(graph.get_edges())
        == sum(len(layer.bottom) + len(layer.top) for layer in found.layer)
        > 0
    )


def test_phases(net, tmp_path):
    layers = {
        phase: [n in saved(net, tmp_path / "n.gv", phase=phase) for n in ("(Data)", "(Input)")]
        for phase in (0, 1, None)
    }
    assert layers == {caffe.TRAIN: [True, False], caffe.TEST: [False, True], None: [True, True]}
    net.layer[0].exclude.add(phase=caffe.TEST)
    with pytest.raises(ValueError, match="layer 'd' has both include and exclude specified"):
        draw.draw_net(net, "LR", "dot", phase=caffe.TRAIN)


def test_upright_labels_are_in_one_line(net, tmp_path):
    text = saved(net, tmp_path / "net.raw", rankdir="TB")
    assert "rankdir=TB;" in text
    assert '"r (ReLU)" [shape=record' in text


def test_old_nets_are_drawn_and_left_as_they_are(tmp_path):
    net = prototxt.parse(
        'layers { name: "r" type: RELU bottom: "x" top: "y" }', caffe_pb2.NetParameter()
    )
    assert r'"r\n(ReLU)" -> y [label=""];' in saved(net, tmp_path / "net.dot")
    assert len(net.layers) == 1


def test_refused(net, tmp_path, monkeypatch):
    monkeypatch.setattr(dot.shutil, "which", lambda name: None)
    with pytest.raises(
        caffe.CaffeError, match="needs Graphviz's program `dot`, which is not installed"
    ):
        draw.draw_net_to_file(net, str(tmp_path / "net.png"))
    with pytest.raises(caffe.CaffeError, match="rankdir is one of TB, BT, LR, RL, not 'up'"):
        draw.draw_net_to_file(net, str(tmp_path / "net.dot"), "up")
    with pytest.raises(caffe.CaffeError, match="the suffix chooses the format"):
        draw.draw_net_to_file(net, str(tmp_path / "net"))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A program in place of `dot`: it prints arguments and input, and refuses the format xyz."""
    path = tmp_path / "dot"
    path.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "sys.exit('Format: \"xyz\" not\\nrecognized') if sys.argv[1] == '-Txyz' else"
        " print(sys.argv[1:], sys.stdin.read())\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(dot.shutil, "which", lambda name: str(path))


def test_pictures_are_made_by_dot(net, tmp_path, program):
    text = saved(net, tmp_path / "net.dot")
    assert saved(net, tmp_path / "net.PDF") == f"['-Tpdf'] {text}\n"
    graph = draw.get_pydot_graph(net, "LR")
    assert graph.create_svg().decode() == f"['-Tsvg'] {text}\n"
    with pytest.raises(
        caffe.CaffeError, match='dot cannot draw the net as xyz: Format: "xyz" not recognized'
    ):
        draw.draw_net_to_file(net, str(tmp_path / "net.xyz"))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it(net, tmp_path):
    svg = draw.get_pydot_graph(net, "LR").create_svg().decode()
    assert "<svg" in svg
    assert "kernel size: 3x1" in svg
    assert "y|{1}" in svg
    draw.draw_net_to_file(net, str(tmp_path / "net.png"))
    assert (tmp_path / "net.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
