"""ReLU: what is negative becomes 0, or a fraction of itself."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal


@pytest.mark.parametrize(
    ("slope", "top", "grad"), [(0, [0, 0, 2], [0, 0, 1]), (0.5, [-1, 0, 2], [0.5, 0.5, 1])]
)
def test_forward_and_gradient(one_layer, slope, top, grad):
    layer = one_layer(f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', x=[-2, 0, 2])
    assert_array_equal(layer.forward(), top)
    assert_array_equal(layer.backward([1, 1, 1]), grad)  # at 0 the gradient is the slope


def test_in_place(net_from):
    net = net_from(
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim:'
        " 3 } } }"
        'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }'
    )
    net.blobs["x"].data[...] = [-1, 1, 3]
    net.forward()
    assert_array_equal(net.blobs["x"].data, [0, 1, 3])
    net.blobs["x"].diff[...] = [5, 6, 7]
    net.backward()
    assert_array_equal(net.blobs["x"].diff, [0, 6, 7])


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "ReLU"', x=np.ones(1), y=np.ones(1))


@pytest.mark.parametrize("axis", [1, 2])  # 2: the InnerProduct hands on a view
def test_in_place_in_the_solvers_pass(net_from, axis):
    net = net_from(
        'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 2 } } }'
        'layer { name: "p" type: "InnerProduct" bottom: "x" top: "p" inner_product_param {'
        " num_output: 1"
        f' axis: {axis} weight_filler {{ value: 1 }} }} }} layer {{ name: "r" type: "ReLU"'
        ' bottom: "p" top: "p" }'
        'layer { name: "l" type: "Reduction" bottom: "p" top: "l" loss_weight: 3 }'
    )
    net.blobs["x"].data[...] = [[[1, 2], [3, -1]]]
    net.forward_backward()
    assert_array_equal(net.blobs["p"].diff, np.full(net.blobs["p"].shape, 3))
    assert_array_equal(net.params["p"][0].diff.sum(), 3 * (1 + 2 + 3 - 1))
