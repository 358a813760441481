"""MemoryData: batches of the user's arrays."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import caffe

DATA = np.arange(12).reshape(4, 3, 1, 1)


@pytest.fixture
def net(net_from):
    return net_from(
        'layer { name: "layer" type: "MemoryData" top: "x" top: "t"'
        " memory_data_param { batch_size: 2 channels: 3 height: 1 width: 1 } }"
    )


def test_batches_in_order_again_and_again(net):
    net.set_input_arrays(DATA, np.array([7, 8, 9, 10]))
    labels = []
    for part in (slice(0, 2), slice(2, 4), slice(0, 2)):
        net.forward()
        assert_array_equal(net.blobs["x"].data, DATA[part])
        labels.extend(net.blobs["t"].data)
    assert labels == [7, 8, 9, 10, 7, 8]


def test_new_arrays_begin_at_their_first_item(net):
    net.set_input_arrays(DATA, np.zeros(4))
    net.forward()
    net.set_input_arrays(DATA + 100, np.ones((4, 1, 1, 1)))
    net.forward()
    assert_array_equal(net.blobs["x"].data, DATA[:2] + 100)
    assert_array_equal(net.blobs["t"].data, [1, 1])


def test_the_arrays_are_not_written_to(net):
    data = DATA.astype(np.float32)
    net.set_input_arrays(data, np.zeros(4, dtype=np.float32))
    net.forward()
    net.blobs["x"].data[...] = -1
    assert_array_equal(data, DATA)


@pytest.mark.parametrize(
    ("data", "labels", "match"),
    [
        (DATA[:3], np.zeros(3), "multiple of batch_size 2 items, not 3"),
        (DATA[:0], np.zeros(0), "multiple of batch_size 2 items, not 0"),
        (DATA, np.zeros(3), "4 items need as many labels"),
        (DATA[:, :2], np.zeros(4), r"needs data of shape \(M, 3, 1, 1\)"),
    ],
)
def test_refused_arrays(net, data, labels, match):
    with pytest.raises(caffe.CaffeError, match=match):
        net.set_input_arrays(data, labels)


def test_refuses_to_run_without_arrays(net):
    with pytest.raises(caffe.CaffeError, match=r"has no data; call net.set_input_arrays"):
        net.forward()


def test_refuses_missing_sizes(net_from):
    with pytest.raises(caffe.CaffeError, match="must all be given"):
        net_from(
            'layer { name: "layer" type: "MemoryData" top: "x" top: "t" memory_data_param {'
            " batch_size: 2 } }"
        )
