"""Split: every top is the bottom; the bottom's gradient is the sum of theirs."""

from numpy.testing import assert_array_equal


def test_forward_and_gradient(one_layer):
    layer = one_layer('type: "Split"', tops=3, x=[1, 2])
    for top in layer.forward():
        assert_array_equal(top, [1, 2])
    assert_array_equal(layer.backward([1, 10], [2, 20], [3, 30]), [6, 60])


def test_inserted_where_a_blob_has_two_readers(net_from):
    net = net_from(
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim:'
        " 2 } } }"
        'layer { name: "r" type: "ReLU" bottom: "x" top: "r" } layer { name: "s" type: "Sigmoid"'
        ' bottom: "x" top: "s" }'
    )
    assert list(net.layer_dict) == ["x", "x_x_0_split", "r", "s"]
    assert net.bottom_names["s"] == ["x_x_0_split_1"]
    net.blobs["x"].data[...] = [0, 1]
    net.forward()
    net.blobs["r"].diff[...] = [1, 1]
    net.blobs["s"].diff[...] = [4, 0]
    net.backward()
    assert_array_equal(net.blobs["x"].diff, [0 + 4 * 0.25, 1])


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "Split"', x=[1], y=[1])
