"""Threshold: 1 above, 0 at and below."""

from numpy.testing import assert_array_equal


def test_forward(one_layer):
    layer = one_layer('type: "Threshold" threshold_param { threshold: 0.5 }', x=[0.25, 0.5, 0.75])
    assert_array_equal(layer.forward(), [0, 0, 1])


def test_the_threshold_is_0_by_default(one_layer):
    assert_array_equal(one_layer('type: "Threshold"', x=[-1, 0, 1]).forward(), [0, 0, 1])


def test_has_no_gradient(one_layer):
    layer = one_layer('type: "Threshold"', x=[-1, 1])
    layer.forward()
    assert not layer.backward([1, 1]).any()


def test_takes_one_bottom(refused):
    refused("takes 1 bottom", 'type: "Threshold"', x=[1], y=[1])
