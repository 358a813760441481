"""caffe draw, and .svg files of caffe.draw: a layout of our own, without Graphviz."""

import itertools
import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import caffe
from caffe import cli, dot, draw, draw_boxes, draw_layout, prototxt
from caffe.proto import caffe_pb2

SVG = "{http://www.w3.org/2000/svg}"
NET = """
name: "a <net> & \\"more\\""
layer { name: "d" type: "Data" top: "x" top: "t" include { phase: TRAIN }
  data_param { batch_size: 7 } }
layer { name: "in" type: "Input" top: "x" exclude { phase: TRAIN }
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "c<1>&" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 group: 1 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "late" type: "Dropout" bottom: "c" top: "c" }
layer { name: "y" type: "InnerProduct" bottom: "c" top: "y" inner_product_param { num_output: 4 } }
"""


@pytest.fixture
def net():
    return prototxt.parse(NET, caffe_pb2.NetParameter())


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_boxes_and_edges(net):
    boxes, edges = draw_boxes.boxes_of(net, caffe.TEST)
    names = [[part[0] for part, _ in box.parts] for box in boxes]
    # the ReLU is folded into the convolution; the Dropout is not, as the pooling reads c before it
    assert names == [["in"], ["c<1>&", "r (ReLU)"], ["p"], ["late"], ["y"], ["p"], ["y"]]
    assert boxes[1].parts[0] == (["c<1>&", "(Convolution)", "3x3, pad 1"], "#FF5050")
    assert boxes[1].parts[1] == (["r (ReLU)"], "#90EE90")
    assert [box.is_output for box in boxes] == [False] * 5 + [True] * 2
    assert edges == {
        (0, 1): [],
        (1, 2): ["5"],
        (1, 3): ["5"],
        (3, 4): [],
        (2, 5): [],
        (4, 6): ["4"],
    }


def test_both_phases(net):
    """Without a phase, both data layers lead to the convolution, and say whose they are."""
    boxes, edges = draw_boxes.boxes_of(net)
    assert boxes[0].parts[0][0] == ["d", "(Data) TRAIN"]
    assert {source for source, target in edges if target == 2} == {0, 1}
    assert edges[0, 2] == ["Batch 7"]


def test_the_picture_is_xml(net, tmp_path, monkeypatch):
    """Names are escaped, and dot is not called."""
    monkeypatch.setattr(dot.shutil, "which", lambda name: None)
    for rankdir in draw.RANKDIRS:
        draw.draw_net_to_file(net, str(tmp_path / "net.SVG"), rankdir)
        root = ElementTree.parse(tmp_path / "net.SVG").getroot()
        assert root.get("aria-label") == 'a <net> & "more"'
        found = [element.text for element in root.iter(f"{SVG}text")]
        assert {"c<1>&", "(Convolution)", "3x3, pad 1", "r (ReLU)", "Batch 7", "5"} <= set(found)
    wide, high = (
        float(ElementTree.fromstring(draw.draw_net(net, way, "svg")).get("width"))
        for way in ("LR", "TB")
    )
    assert wide > high
    with pytest.raises(caffe.CaffeError, match="rankdir is one of TB, BT, LR, RL, not 'up'"):
        draw.draw_net(net, "up", "svg")
    with pytest.raises(caffe.CaffeError, match="has no layers to draw"):
        draw.draw_net(caffe_pb2.NetParameter(), "TB", "svg")


def test_control_characters_and_old_nets():
    text = 'layers { name: "a\\001b" type: RELU bottom: "x" top: "y" }'
    found = texts(draw.draw_net(prototxt.parse(text, caffe_pb2.NetParameter()), "TB", "svg"))
    assert found == ["x", "a\ufffdb", "(ReLU)", "y"]


def test_the_command(net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dot.shutil, "which", lambda name: None)
    (tmp_path / "net.prototxt").write_text(NET)
    assert cli.main(["draw", "net.prototxt", "net.svg", "-phase", "TEST", "-shapes"]) == 0
    found = texts((tmp_path / "net.svg").read_text())
    assert {"1x3x9x9", "1x5x9x9", "1x5x5x5", "1x4"} <= set(found)
    assert found.count("1x5x9x9") == 2  # the convolution's two edges share one, and the Dropout's
    assert cli.main(["draw", "net.prototxt", "net.dot", "-display_lrm"]) == 0
    assert "lr mult" in (tmp_path / "net.dot").read_text()
    capsys.readouterr()
    for picture, sentence in (
        ("net.png", "needs Graphviz's program `dot`, which is not installed"),
        ("net", "the suffix chooses the format"),
        ("none/net.svg", "none/net.svg: cannot be written"),
    ):
        assert cli.main(["draw", "net.prototxt", picture]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line
    assert cli.main(["draw", "net.prototxt", "net.png", "-shapes"]) == 1
    assert "-shapes is for a picture in .svg" in capsys.readouterr().err
    assert not (tmp_path / "net.png").exists()


def test_crossings_are_removed():
    """Two parallel chains that are listed crosswise."""
    places, _, _ = draw_layout.lay_out([(10, 10)] * 4, [(0, 3), (1, 2)])
    assert [place.rank for place in places] == [0, 0, 1, 1]
    assert (places[0].x < places[1].x) == (places[3].x < places[2].x)


def test_a_chain_is_straight_and_a_source_is_near_its_reader():
    places, _, size = draw_layout.lay_out([(40, 10), (90, 20), (10, 10)], [(0, 1), (1, 2)])
    assert len({place.x for place in places}) == 1
    assert size == (90, 40 + 2 * draw_layout.BETWEEN)
    places, _, _ = draw_layout.lay_out([(9, 9)] * 4, [(0, 1), (1, 3), (2, 3)])
    assert [place.rank for place in places] == [0, 1, 1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_overlaps(seed):
    """In a random graph: all edges lead down, and neither boxes nor passing edges meet a box."""
    rng = random.Random(seed)
    sizes = [(rng.uniform(10, 200), rng.uniform(10, 60)) for _ in range(25)]
    edges = sorted({tuple(sorted(rng.sample(range(25), 2))) for _ in range(40)})
    places, routes, (width, height) = draw_layout.lay_out(sizes, edges)
    lanes = [lane for route in routes for lane in route[1:-1]]
    for place in places:
        assert place.x - place.width / 2 >= -1e-6
        assert place.x + place.width / 2 <= width + 1e-6
        assert place.y + place.height / 2 <= height + 1e-6
    for a, b in itertools.combinations([*places, *lanes], 2):
        if a.is_lane and b.is_lane:
            continue
        apart = abs(a.x - b.x) >= (a.width + b.width) / 2 - 1e-6
        assert apart or abs(a.y - b.y) >= (a.height + b.height) / 2 - 1e-6
    for (a, b), route in zip(edges, routes, strict=True):
        assert route[0] is places[a]
        assert route[-1] is places[b]
        for upper, lower in itertools.pairwise(route):
            assert lower.rank == upper.rank + 1
            assert lower.y > upper.y


def test_every_prototxt_of_the_project_is_drawn():
    for path in sorted((Path(__file__).parents[2] / "CNN").rglob("*.prototxt")):
        if "solver" not in path.name:
            found = texts(draw.draw_net(prototxt.read_net(path), "TB", "svg"))
            for layer in prototxt.read_net(path).layer:
                assert any(text.startswith(layer.name) for text in found)
