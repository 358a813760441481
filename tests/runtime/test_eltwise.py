"""Eltwise: sum, product and maximum."""

import pytest
from numpy.testing import assert_allclose, assert_array_equal

A, B, C = [1, 5, 2], [4, 5, 0], [3, 5, 6]


def eltwise(fields=""):
    return f'type: "Eltwise" eltwise_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "top", "a", "b", "c"),
    [
        ("", [8, 15, 8], [1, 10, 100], [1, 10, 100], [1, 10, 100]),
        (
            "coeff: 1 coeff: -1 coeff: 0.5",
            [-1.5, 2.5, 5],
            [1, 10, 100],
            [-1, -10, -100],
            [0.5, 5, 50],
        ),
        ("operation: PROD", [12, 125, 0], [12, 250, 0], [3, 250, 1200], [4, 250, 0]),
        (
            "operation: PROD stable_prod_grad: false",
            [12, 125, 0],
            [12, 250, 0],
            [3, 250, 1200],
            [4, 250, 0],
        ),
        # of three fives, the second has the gradient
        ("operation: MAX", [4, 5, 6], [0, 0, 0], [1, 10, 0], [0, 0, 100]),
    ],
)
def test_forward_and_gradient(one_layer, fields, top, a, b, c):
    layer = one_layer(eltwise(fields), a=A, b=B, c=C)
    assert_allclose(layer.forward(), top)
    for found, wanted in zip(layer.backward([1, 10, 100]), (a, b, c), strict=True):
        assert_allclose(found, wanted)


def test_in_place(net_from):
    net = net_from(
        'force_backward: true layer { name: "i" type: "Input" top: "x" top: "y" input_param {'
        " shape { dim: 2 } } }"
        'layer { name: "e" type: "Eltwise" bottom: "x" bottom: "y" top: "x" }'
    )
    net.blobs["x"].data[...], net.blobs["y"].data[...] = [1, 2], [10, 20]
    net.forward()
    assert_array_equal(net.blobs["x"].data, [11, 22])


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("coeff: 1 coeff: 2", "given 2 times for 3 bottoms"),
        ("operation: PROD coeff: 1 coeff: 1 coeff: 1", "SUM only"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, eltwise(fields), a=A, b=B, c=C)


def test_refuses_two_shapes(refused):
    refused(r"one shape; there are \(3,\) and \(1, 3\)", eltwise(), a=A, b=[B])


def test_takes_two_bottoms_or_more(refused):
    refused("takes 2 or more bottom", eltwise(), a=A)
