"""Memory for batches: used again when nothing refers to it, and not before."""

import numpy as np
import torch

from caffe.batch_buffers import BatchBuffers

CPU = torch.device("cpu")


def address(array):
    return array.__array_interface__["data"][0]


def test_an_array_comes_back_when_nothing_uses_it():
    buffers = BatchBuffers(CPU)
    first = buffers.get((2, 3), np.float32)
    place = address(first)
    assert (first.shape, first.dtype) == ((2, 3), np.float32)
    second = buffers.get((2, 3), np.float32)
    assert address(second) != place
    del first
    assert address(buffers.get((2, 3), np.float32)) == place


def test_a_tensor_and_a_view_keep_it():
    """The tensor of a batch is the array itself; blobs and programs hold it, or a part of it."""
    buffers = BatchBuffers(CPU)
    array = buffers.get((4, 5, 5, 3), np.float32)
    place = address(array)
    tensor = buffers.to_device(array)
    assert tensor.data_ptr() == place
    part = tensor.permute(0, 3, 1, 2)[1:, 0]
    del array, tensor
    assert address(buffers.get((4, 5, 5, 3), np.float32)) != place
    view = part.numpy()[0]
    del part
    assert address(buffers.get((4, 5, 5, 3), np.float32)) != place
    del view
    found = [buffers.get((4, 5, 5, 3), np.float32) for _ in range(3)]
    assert place in [address(array) for array in found]


def test_other_shapes_and_types_do_not_pile_up():
    buffers = BatchBuffers(CPU)
    for size in range(1, 30):
        array = buffers.get((size, 3), np.float32)
        assert array.shape == (size, 3)
    assert len(buffers) <= 2
    assert buffers.get((29, 3), np.uint8).dtype == np.uint8


def test_a_copy_under_way_keeps_it():
    """On a GPU the copy reads the array until its event has happened."""

    class Event:
        done = False

        def query(self):
            return self.done

    buffers, event = BatchBuffers(CPU), Event()
    array = buffers.get((8,), np.float32)
    place = address(array)
    buffers.copied(array, event)
    del array
    assert address(buffers.get((8,), np.float32)) != place
    event.done = True
    found = [buffers.get((8,), np.float32) for _ in range(2)]
    assert place in [address(array) for array in found]
