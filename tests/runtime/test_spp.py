"""SPP: 1, 4, 16, ... bins of the whole bottom."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

IMAGE = np.arange(16).reshape(1, 1, 4, 4)


def spp(fields):
    return f'type: "SPP" spp_param {{ {fields} }}'


@pytest.mark.parametrize(
    ("height", "top"),
    [(1, (2, 3, 1, 1)), (2, (2, 3 * 5)), (3, (2, 3 * 21))],  # a single level is not flattened
)
def test_shape(one_layer, height, top):
    assert (
        one_layer(spp(f"pyramid_height: {height}"), x=np.ones((2, 3, 9, 8))).forward().shape == top
    )


def test_forward_and_gradient(one_layer):
    layer = one_layer(spp("pyramid_height: 2"), x=IMAGE)
    assert_array_equal(layer.forward(), [[15, 5, 7, 13, 15]])
    grad = layer.backward([[1, 10, 20, 30, 40]])
    wanted = np.zeros((4, 4))
    wanted[1, 1], wanted[1, 3], wanted[3, 1], wanted[3, 3] = 10, 20, 30, 41
    assert_array_equal(grad[0, 0], wanted)


def test_channels_stay_together_within_a_level(one_layer):
    x = np.concatenate([IMAGE, IMAGE + 100], 1)
    assert_array_equal(
        one_layer(spp("pyramid_height: 2"), x=x).forward(),
        [[15, 115, 5, 7, 13, 15, 105, 107, 113, 115]],
    )


def test_average_of_padded_bins(one_layer):
    # 3 x 3 into 2 x 2 bins: kernel 2, pad 1 on both sides; the first bins hold padding, which
    # counts
    layer = one_layer(spp("pyramid_height: 2 pool: AVE"), x=np.arange(9).reshape(1, 1, 3, 3))
    assert_allclose(layer.forward(), [[4, 0 / 4, (1 + 2) / 4, (3 + 6) / 4, (4 + 5 + 7 + 8) / 4]])


def test_a_bottom_of_another_size_later(one_layer):
    layer = one_layer(spp("pyramid_height: 2"), x=np.ones((1, 2, 4, 4)))
    layer.net.blobs["x"].reshape(3, 2, 8, 6)
    assert layer.forward().shape == (3, 10)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ("", "pyramid_height"),
        ("pyramid_height: 4", "too small for the 8 x 8 bins of pyramid level 3"),
        ("pyramid_height: 1 pool: STOCHASTIC", "STOCHASTIC"),
    ],
)
def test_refused(refused, fields, match):
    refused(match, spp(fields), x=IMAGE)


def test_refuses_other_than_images(refused):
    refused("4 axes", spp("pyramid_height: 1"), x=[[1, 2]])
