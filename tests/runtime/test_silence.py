"""Silence: blobs that are not outputs."""

NET = """
force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
layer { name: "a" type: "ReLU" bottom: "x" top: "a" }
layer { name: "b" type: "TanH" bottom: "x" top: "b" }
layer { name: "layer" type: "Silence" bottom: "b" }
"""


def test_takes_a_blob_off_the_outputs(net_from):
    net = net_from(NET)
    assert net.outputs == ["a"]
    assert list(net.forward()) == ["a"]


def test_the_gradient_is_0(net_from):
    net = net_from(NET)
    net.blobs["x"].data[...] = [1, 2]
    net.forward()
    net.blobs["a"].diff[...] = [5, 7]
    net.blobs["b"].diff[...] = 9  # overwritten by backward, as in Caffe
    net.backward()
    assert net.blobs["x"].diff.tolist() == [5, 7]  # through a only


def test_several_bottoms(one_layer):
    assert one_layer('type: "Silence"', tops=0, x=[1], y=[[2]]).net.outputs == []


def test_has_no_tops(refused):
    refused("takes 0 top", 'type: "Silence"', x=[1])
