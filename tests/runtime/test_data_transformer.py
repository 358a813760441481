"""What a DataTransformer draws, and what it makes of an image."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from caffe.data_transformer import DataTransformer, Draws
from caffe.proto import caffe_pb2


def transformer(train=True, **settings):
    layer = SimpleNamespace(name="data", train=train, param=caffe_pb2.LayerParameter())
    return DataTransformer(layer, caffe_pb2.TransformationParameter(**settings))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("mirror", [True, False])
@pytest.mark.parametrize("crop", [0, 5])
def test_many_are_drawn_as_one_by_one(train, mirror, crop):
    """Two numbers for a random crop, then one for the mirror, image after image; and the generator
    is in the same state, half a number that it keeps included.
    """
    made = transformer(train, mirror=mirror, crop_size=crop)
    mine, single = np.random.default_rng(3), np.random.default_rng(3)
    for count in (1, 2, 3, 64, 1, 5, 7, 64, 63, 1, 1, 2):
        found = made.draw(mine, count)
        for place, mirrored in zip(found.places, found.mirrors, strict=True):
            wanted = single.random(2) if train and crop else np.zeros(2)
            assert place.tolist() == wanted.tolist()
            assert mirrored == (bool(single.integers(2)) if mirror else False)
        assert mine.bit_generator.state == single.bit_generator.state


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("crop", [0, 7])
def test_the_corners_of_many_are_those_of_each(train, crop):
    """In TEST (10 - 7) // 2 and (12 - 7) // 2; in TRAIN from 0 to 3 and from 0 to 5."""
    made = transformer(train, crop_size=crop)
    places = np.random.default_rng(0).random((200, 2))
    found = made.corners(places, (10, 12, 3)).tolist()
    assert found == [list(made.corner(place, (10, 12, 3))) for place in places.tolist()]
    if not crop:
        assert found == [[0, 0]] * 200
    elif train:
        assert np.max(found, axis=0).tolist() == [3, 5]
        assert np.min(found, axis=0).tolist() == [0, 0]
    else:
        assert found == [[1, 2]] * 200


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("mirror", [False, True])
def test_an_image_by_hand(channels, dtype, mirror):
    image = np.random.default_rng(1).integers(0, 256, (6, 8, channels)).astype(dtype)
    mean = [float(np.float32(7.1 * (i + 1))) for i in range(channels)]
    made = transformer(crop_size=4, mean_value=mean, scale=0.3)
    cut = image[1:5, 3:7].astype(np.float32)
    wanted = (cut - np.array(mean, dtype=np.float32)) * np.float32(0.3)
    out = np.empty((4, 4, channels), dtype=np.float32)
    made.write(image, (1, 3), mirror, out)
    np.testing.assert_array_equal(out, wanted[:, ::-1] if mirror else wanted)
    if dtype == np.uint8:  # cut here, finished on the device
        cut = np.empty((4, 4, channels), dtype=np.uint8)
        made.write(image, (1, 3), mirror, cut)
        finished = made.finish(torch.from_numpy(cut), torch.from_numpy(made.mean))
        np.testing.assert_array_equal(finished.numpy(), out)


def test_draws_in_parts():
    rng = np.random.default_rng(0)
    parts = [Draws(rng.random((n, 2)), rng.random(n) < 0.5) for n in (1, 3)]
    joined = Draws.joined(parts)
    np.testing.assert_array_equal(joined.places, np.concatenate([p.places for p in parts]))
    np.testing.assert_array_equal(joined.mirrors, np.concatenate([p.mirrors for p in parts]))
