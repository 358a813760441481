"""upgrade_net_proto_text: old nets' prototxts in today's form."""

import functools

import pytest

from caffe import prototxt
from caffe.proto import caffe_pb2
from caffe.tools.upgrade_net_proto_text import main

V1 = """
name: "old" input: "x" input_dim: 1 input_dim: 2 input_dim: 1 input_dim: 1
layers { name: "ip" type: INNER_PRODUCT bottom: "x" top: "y" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  inner_product_param { num_output: 1 } }
"""
V0 = 'layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 2 } bottom: "x" top: "c" }'


@pytest.fixture
def upgraded(output_of):
    """upgraded(text): the output of the tool for this text."""
    return functools.partial(output_of, main)


def test_v1(upgraded, capsys):
    net = prototxt.parse(upgraded(V1), caffe_pb2.NetParameter())
    assert not net.layers
    assert not net.input
    assert [(layer.name, layer.type) for layer in net.layer] == [
        ("input", "Input"),
        ("ip", "InnerProduct"),
    ]
    assert [(p.lr_mult, p.decay_mult) for p in net.layer[1].param] == [(1, 1), (2, 1)]
    log = capsys.readouterr().err
    assert "Wrote upgraded NetParameter text proto to" in log
    assert "already in latest" not in log


def test_v0(upgraded):
    net = prototxt.parse(upgraded(V0), caffe_pb2.NetParameter())
    assert net.layer[0].type == "Convolution"
    assert list(net.layer[0].convolution_param.kernel_size) == [2]


def test_input_without_dims_is_stripped(upgraded, capsys):
    text = 'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 1 } } }'
    net = prototxt.parse(upgraded(f'input: "x" {text}'), caffe_pb2.NetParameter())
    assert not net.input
    assert [layer.name for layer in net.layer] == ["d"]
    assert "already in latest" not in capsys.readouterr().err


def test_v0_fields_that_do_not_apply_are_ignored(upgraded, capsys):
    net = prototxt.parse(
        upgraded('layers { layer { name: "r" type: "relu" kernelsize: 2 } }'),
        caffe_pb2.NetParameter(),
    )
    assert prototxt.to_text(net.layer[0]) == 'name: "r"\ntype: "ReLU"\n'
    assert (
        "Unknown parameter kernelsize for layer type relu; continuing anyway."
        in capsys.readouterr().err
    )


def test_a_current_net_is_unchanged(upgraded, capsys):
    text = upgraded(V1)
    capsys.readouterr()
    assert upgraded(text) == text
    assert "File already in latest proto format" in capsys.readouterr().err


def test_a_file_can_be_upgraded_in_place(tmp_path):
    (tmp_path / "net").write_text(V1)
    assert main([str(tmp_path / "net")] * 2) == 0
    assert "layers" not in (tmp_path / "net").read_text()


def test_refused(fatal, tmp_path, capsys):
    path, out = tmp_path / "in", tmp_path / "out"
    path.write_text("name: 'x'\nno_such_field: 1")
    assert f"{path}:2: " in fatal(main, path, out)
    path.write_text(V1 + 'layer { name: "r" type: "ReLU" }')
    assert "use one form for all" in fatal(main, path, out)
    assert "No such file" in fatal(main, tmp_path / "none", out)
    path.write_text(V1)
    assert "does the folder exist" in fatal(main, path, tmp_path / "no" / "out")
    assert "expected V0_NET_PROTO_FILE_IN NET_PROTO_FILE_OUT" in fatal(main, path)
    assert not out.exists()
    assert main(["--help"]) == 0
    assert "usage: caffe upgrade_net_proto_text" in capsys.readouterr().out
