"""LRN: alpha / n over channels, alpha / n^2 within a channel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose


def lrn(fields):
    return f'type: "LRN" lrn_param {{ {fields} }}'


def test_across_channels(one_layer):
    x = np.reshape([1, 2, 3], (1, 3, 1, 1))
    layer = one_layer(lrn("local_size: 3 alpha: 3 beta: 1 k: 2"), x=x)
    # scale = 2 + 3 / 3 * (sum of squares of the channel and its neighbours)
    assert_allclose(
        layer.forward().ravel(), [1 / (2 + 1 + 4), 2 / (2 + 14), 3 / (2 + 4 + 9)], rtol=1e-6
    )


def test_gradient_across_channels(one_layer):
    layer = one_layer(lrn("local_size: 1 alpha: 1 beta: 1 k: 1"), x=np.full((1, 1, 1, 1), 2))
    assert_allclose(layer.forward().ravel(), [2 / 5], rtol=1e-6)
    # d/dx x / (1 + x^2) = (1 - x^2) / (1 + x^2)^2
    assert_allclose(layer.backward(np.ones((1, 1, 1, 1))).ravel(), [-3 / 25], rtol=1e-5)


def test_gradient_by_differences(one_layer):
    x = np.random.default_rng(0).standard_normal((1, 7, 2, 3)).astype(np.float32)
    diff = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    layer = one_layer(lrn("local_size: 5 alpha: 0.5 beta: 0.75 k: 1.5"), x=x)
    layer.forward()
    grad = layer.backward(diff)
    for at in [(0, 0, 0, 0), (0, 3, 1, 2), (0, 6, 1, 0)]:
        y = []
        for step in (1e-2, -1e-2):
            layer.net.blobs["x"].data[...] = x
            layer.net.blobs["x"].data[at] += step
            y.append(np.sum(layer.forward().astype(np.float64) * diff))
        assert_allclose(grad[at], (y[0] - y[1]) / 2e-2, rtol=2e-3, atol=1e-4)


def test_within_channel_divides_by_the_whole_window_and_ignores_k(one_layer):
    layer = one_layer(
        lrn("local_size: 3 alpha: 9 beta: 1 k: 5 norm_region: WITHIN_CHANNEL"),
        x=np.ones((1, 1, 3, 3)),
    )
    # corners see 4 of 9 ones, edges 6, the centre 9
    assert_allclose(
        layer.forward()[0, 0],
        [[1 / 5, 1 / 7, 1 / 5], [1 / 7, 1 / 10, 1 / 7], [1 / 5, 1 / 7, 1 / 5]],
    )


def test_defaults(one_layer):
    # local_size 5, alpha 1, beta 0.75, k 1
    assert_allclose(
        one_layer(lrn(""), x=np.ones((1, 1, 1, 1))).forward().ravel(), [1.2**-0.75], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("fields", "shape", "match"), [("local_size: 4", (1, 1, 1, 1), "odd"), ("", (2, 3), "4 axes")]
)
def test_refused(refused, fields, shape, match):
    refused(match, lrn(fields), x=np.ones(shape))
