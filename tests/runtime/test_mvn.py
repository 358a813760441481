"""MVN: mean 0, deviation 1."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

X = np.reshape([1, 3, 10, 30], (1, 2, 1, 2))


def mvn(fields=""):
    return f'type: "MVN" mvn_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("fields", "top"),
    [
        ("", [-1, 1, -1, 1]),
        ("eps: 1", [-0.5, 0.5, -10 / 11, 10 / 11]),  # added to the deviation
        ("normalize_variance: false", [-1, 1, -10, 10]),
        ("normalize_variance: false across_channels: true", [-10, -8, -1, 19]),
    ],
)
def test_forward(one_layer, fields, top):
    assert_allclose(one_layer(mvn(fields), x=X).forward().ravel(), top, rtol=1e-6)


def test_gradient_of_the_mean(one_layer):
    layer = one_layer(mvn("normalize_variance: false"), x=X)
    layer.forward()
    assert_allclose(layer.backward(np.reshape([1, 3, 0, 8], X.shape)).ravel(), [-1, 1, -4, 4])


def test_gradient_is_caffes(one_layer):
    layer = one_layer(mvn("eps: 1"), x=X)
    y = layer.forward().ravel()[:2]
    dy = np.array([1, 5])
    layer.net.blobs["top0"].diff[...] = np.reshape([1, 5, 0, 0], X.shape)
    wanted = (dy - 3 - y * np.mean(y * dy)) / 2  # the deviation is 1, eps makes it 2
    assert_allclose(layer.backward().ravel(), [*wanted, 0, 0], rtol=1e-6)


def test_a_constant_channel_gives_0(one_layer):
    layer = one_layer(mvn(), x=np.ones((1, 1, 2, 2)))
    assert_allclose(layer.forward(), np.zeros((1, 1, 2, 2)))


def test_refused(refused):
    refused("at most 4 axes", mvn(), x=np.ones((1, 1, 1, 1, 1)))
