"""Blob: shapes, memory and views."""

import numpy as np
import pytest
import torch

import caffe
from caffe.blob import Blob


def test_a_reshape_keeps_the_memory_if_the_blob_fits():
    """As in Caffe, a smaller blob is the front of the memory; one that outgrows it gets zeros."""
    blob = Blob((2, 3))
    blob.data[...] = [[1, 2, 3], [4, 5, 6]]
    blob.reshape(3, 2)
    assert blob.data.tolist() == [[1, 2], [3, 4], [5, 6]]
    blob.reshape(2)
    assert blob.data.tolist() == [1, 2]
    assert blob.count == 2
    blob.data[...] = 7
    blob.reshape(6)
    assert blob.data.tolist() == [7, 7, 3, 4, 5, 6]
    blob.reshape(np.int64(7))
    assert not blob.data.any()
    assert not blob.diff.any()


def test_a_view_stays_live():
    blob = Blob((2,))
    view = blob.data
    blob.put(torch.tensor([1.0, 2.0]))
    assert view.tolist() == [1, 2]
    view[0] = 5
    assert blob.tensor().tolist() == [5, 2]


def test_blobs_that_share_memory_keep_their_own_shapes():
    one, two = Blob((2, 2)), Blob((4,))
    two.share_data(one)
    one.data[...] = [[1, 2], [3, 4]]
    assert two.data.tolist() == [1, 2, 3, 4]
    assert np.shares_memory(one.data, two.data)
    two.put(torch.tensor([9.0, 8, 7, 6]))
    assert one.data.tolist() == [[9, 8], [7, 6]]


def test_channels_last_values_are_seen_in_caffes_order():
    blob = Blob((1, 2, 2, 2))
    values = torch.arange(8.0).view(1, 2, 2, 2)
    blob.put(values.contiguous(memory_format=torch.channels_last))
    assert blob.data.ravel().tolist() == list(range(8))


def test_an_expanded_gradient_can_be_written():
    blob = Blob((3,))
    blob.put_diff(torch.ones(()).expand(3))
    blob.diff[0] = 2
    assert blob.diff.tolist() == [2, 1, 1]


@pytest.mark.parametrize("shape", [(2**31,), (65536, 65536), (1,) * 33, (-1,)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(caffe.CaffeError, match=r"^a blob (cannot have the|of) shape \("):
        Blob((1,)).reshape(*shape)


def test_zero_elements():
    blob = Blob((0, 3))
    assert blob.data.shape == (0, 3)
    assert blob.count == 0
