"""DummyData: tops from fillers."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import caffe


def net_of(net_from, fields, tops=("a",)):
    wires = " ".join(f'top: "{name}"' for name in tops)
    return net_from(
        f'layer {{ name: "layer" type: "DummyData" {wires} dummy_data_param {{ {fields} }} }}'
    )


@pytest.mark.parametrize(
    ("fields", "a", "b"),
    [
        ("shape { dim: 2 dim: 3 }", (2, 3), (2, 3)),
        ("shape { dim: 2 } shape { dim: 4 dim: 5 }", (2,), (4, 5)),
        ("num: 2 channels: 3 height: 4 width: 5", (2, 3, 4, 5), (2, 3, 4, 5)),
        ("num: 2 num: 6 channels: 3 height: 4 width: 5", (2, 3, 4, 5), (6, 3, 4, 5)),
    ],
)
def test_shape(net_from, fields, a, b):
    net = net_of(net_from, fields, ("a", "b"))
    net.forward()
    assert (net.blobs["a"].shape, net.blobs["b"].shape) == (a, b)
    assert not net.blobs["a"].data.any()  # without a filler


def test_a_constant_top_is_filled_before_the_first_forward(net_from):
    net = net_of(net_from, "shape { dim: 2 } data_filler { value: 7 }")
    assert_array_equal(net.blobs["a"].data, [7, 7])
    net.blobs["a"].data[...] = [1, 2]
    assert_array_equal(net.forward()["a"], [1, 2])  # and is not filled again


def test_other_tops_are_drawn_again(net_from):
    caffe.set_random_seed(0)
    net = net_of(
        net_from,
        'shape { dim: 50 } data_filler { value: 7 } data_filler { type: "uniform" min: 1 max: 2 }',
        ("a", "b"),
    )
    first = net.forward()["b"].copy()
    second = net.forward()["b"]
    assert (first != second).any()
    assert first.min() >= 1
    assert second.max() <= 2
    assert_array_equal(net.blobs["a"].data, np.full(50, 7))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("", "shape is missing"),
        ("shape { dim: 1 } num: 1 channels: 1 height: 1 width: 1", "not both"),
        ("num: 1 channels: 1 height: 1", "given together"),
        ("shape { dim: 1 } shape { dim: 1 } shape { dim: 1 }", "2 tops and 3 shape"),
        ("shape { dim: 1 } " + "data_filler { } " * 3, "2 tops and 3 data_filler"),
        ('shape { dim: 1 } data_filler { type: "gauss" }', "unknown filler type 'gauss'"),
    ],
)
def test_refused(net_from, fields, match):
    with pytest.raises(caffe.CaffeError, match=match):
        net_of(net_from, fields, ("a", "b"))


def test_constants_stay_in_the_solvers_pass(net_from):
    net = net_of(net_from, "shape { dim: 2 } data_filler { value: 7 }", ("a", "b"))
    for _ in range(2):
        net.forward_backward()
        assert_array_equal(net.blobs["b"].data, [7, 7])
