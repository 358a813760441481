"""Node: how the layers of a net are wired, and what needs a gradient."""

import numpy as np
import pytest

import caffe
from caffe import prototxt
from caffe.proto import caffe_pb2

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def product(name, bottom, top, param=""):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" {param}'
        " inner_product_param { num_output: 3 bias_term: false } }\n"
    )


def loss(bottom, weight=1):
    return (
        f'layer {{ name: "loss" type: "Reduction" bottom: "{bottom}" top: "loss"'
        f" loss_weight: {weight} }}\n"
    )


def named(net):
    return {node.name: node for node in net.nodes}


def test_a_node_holds_the_nets_own_blobs(net_from):
    net = net_from(INPUT + product("a", "x", "a") + loss("a"))
    x, a, end = net.nodes
    assert [node.name for node in net.nodes] == ["x", "a", "loss"]
    assert (x.bottoms, a.bottoms, end.bottoms) == ([], x.tops, a.tops)
    assert [blob.name for blob in net.blob_list] == ["x", "a", "loss"]
    assert net.blobs["a"] is a.tops[0]
    assert net.input_blobs == x.tops
    assert net.output_blobs == end.tops


def test_an_in_place_layers_top_is_its_bottom(net_from):
    relu = 'layer { name: "r" type: "ReLU" bottom: "a" top: "a" }\n'
    net = net_from(INPUT + product("a", "x", "a") + relu + loss("a"))
    node = named(net)["r"]
    assert node.tops == node.bottoms == [net.blobs["a"]]
    assert len(net.blob_list) == 3


def test_what_needs_a_gradient(net_from):
    """Only what is between a learnt parameter and the loss needs a gradient.

    The input does not, nor does the frozen layer below the learnt one.
    """
    frozen = product("frozen", "x", "a", "param { lr_mult: 0 }")
    net = net_from(INPUT + frozen + product("learnt", "a", "b") + loss("b"))
    nodes = named(net)
    needs = {name: (node.needs_backward, node.bottom_needs) for name, node in nodes.items()}
    assert needs == {
        "x": (False, []),
        "frozen": (False, [False]),
        "learnt": (True, [False]),
        "loss": (True, [True]),
    }
    assert [nodes[name].param_needs for name in ("frozen", "learnt")] == [[False], [True]]
    assert net.wanted_parameters() == {nodes["learnt"].params[0]}


def test_no_gradient_without_a_loss(net_from):
    net = net_from(INPUT + product("a", "x", "a"))
    assert not any(node.needs_backward for node in net.nodes)
    assert net.wanted_parameters() == set()


def test_force_backward_asks_for_every_gradient(net_from):
    frozen = product("frozen", "x", "a", "param { lr_mult: 0 }")
    net = net_from("force_backward: true\n" + INPUT + frozen + loss("a"))
    assert all(node.needs_backward for node in net.nodes)
    assert named(net)["frozen"].bottom_needs == [True]
    assert named(net)["frozen"].param_needs == [True]


def test_loss_weights(net_from):
    net = net_from(INPUT + product("a", "x", "a") + loss("a", weight=0.25))
    assert [node.loss_weights for node in net.nodes] == [[0], [0], [0.25]]
    assert net.loss_weights[net.blobs["loss"]] == 0.25
    assert net.loss_weights[net.blobs["x"]] == 0


def test_layers_that_share_a_parameter_hold_the_same_one(net_from):
    """The first layer owns it; the second one's lr_mult counts, because the first gives none."""
    first = product("a", "x", "a", 'param { name: "w" }')
    second = product("b", "a", "b", 'param { name: "w" lr_mult: 3 decay_mult: 2 }')
    net = net_from(INPUT + first + second + loss("b"))
    nodes = named(net)
    (shared,) = net.learnable
    assert nodes["a"].params == nodes["b"].params == [shared]
    assert shared.owner is nodes["a"].layer
    assert shared.blob is nodes["a"].layer.blobs[0]
    assert (shared.lr_mult, shared.decay_mult) == (3, 2)
    shared.blob.data[...] = 7
    assert (net.params["b"][0].data == 7).all()


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("InnerProduct", "ReLU", True),  # its gradient does not read its top
        ("Sigmoid", "ReLU", False),  # its gradient does
        ("InnerProduct", "Sigmoid", False),  # needs its own top, which torch keeps
    ],
)
def test_which_layer_may_destroy_its_bottom(net_from, before, after, allowed):
    fields = "inner_product_param { num_output: 3 }" if before == "InnerProduct" else ""
    net = net_from(
        INPUT
        + f'layer {{ name: "before" type: "{before}" bottom: "x" top: "a" {fields} }}\n'
        + f'layer {{ name: "after" type: "{after}" bottom: "a" top: "a" }}\n'
    )
    assert named(net)["after"].may_overwrite is allowed


def test_tops_follow_a_changed_input(net_from):
    net = net_from(INPUT + product("a", "x", "a"))
    net.blobs["x"].reshape(5, 3)
    net.reshape()
    assert net.nodes[1].tops[0].shape == (5, 3)
    assert net.nodes[1].shapes == [(5, 3), (5, 3)]


def test_the_scores_of_a_loss_are_those_of_the_last_pass(net_from):
    text = INPUT + 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }\n'
    text += 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" top: "l" }\n'
    net = net_from(text)
    assert net.output_variances() == []
    net.blobs["x"].data[...] = [[0, 0, 0], [np.log(2), 0, 0]]  # softmax: 1/3 each; 1/2, 1/4, 1/4
    net.forward_backward()
    ((name, variance),) = net.output_variances()
    assert name == "l"
    # (d / 2)^2 of the differences d = 1/6, 1/12, 1/12
    np.testing.assert_allclose(variance, (1 / 144 + 2 / 576) / 3, rtol=1e-5)
    net.blobs["x"].data[...] = 1
    net.forward()
    assert net.output_variances()[0][1] < 1e-12


def test_from_param_uses_the_state_of_the_message(tmp_path):
    """Net.from_param takes the state from the message, and does not change the message."""
    text = INPUT.replace('type: "Input"', 'type: "Input" include { stage: "s" min_level: 2 }')
    text += 'layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 2 } } '
    text += "include { phase: TEST } }\n"
    param = caffe_pb2.NetParameter()
    prototxt.parse(text, param)
    param.state.phase, param.state.level = caffe.TEST, 2
    param.state.stage.append("s")
    before = param.SerializeToString()
    net = caffe.Net.from_param(param, "here.prototxt")
    assert type(net) is caffe.Net
    assert list(net.blobs) == ["x", "p"]
    assert (net.phase, net.file) == (caffe.TEST, "here.prototxt")
    assert param.SerializeToString() == before
    param.state.level = 1
    assert list(caffe.Net.from_param(param).blobs) == ["p"]


def test_from_param_makes_subclasses_too():
    class Mine(caffe.Net):
        def __init__(self, *args, **keywords):
            super().__init__(*args, **keywords)
            self.mine = True

    param = prototxt.parse(INPUT, caffe_pb2.NetParameter())
    assert Mine.from_param(param).mine


def test_errors_of_from_param_name_the_file():
    text = 'layer { name: "a" type: "ReLU" bottom: "x" top: "a" }'
    param = prototxt.parse(text, caffe_pb2.NetParameter())
    with pytest.raises(
        caffe.CaffeError, match=r"here.prototxt: layer 'a': bottom 0 is the unknown"
    ):
        caffe.Net.from_param(param, "here.prototxt")
