"""The base of Data and ImageData: what a layer with a source of its own has to bring."""

import gc
import threading
import time

import numpy as np
import pytest

import caffe
from caffe import layer as registry
from caffe.layer import register
from caffe.layer_parts import prefetching
from caffe.layer_parts.prefetching import PrefetchingLayer
from caffe.layers.data import Data
from caffe.layers.image_data import ImageData

pytestmark = pytest.mark.usefixtures("no_nets_of_other_tests")


@pytest.fixture
def counting():
    """A new type, known while the test runs: record n is one pixel of value n, its label 10 n."""

    @register("Counting")
    class Counting(PrefetchingLayer):
        settings_field = "image_data_param"

        def setup(self, shapes):
            self.cursor, self.seed = 0, 0
            self.transform_like(0, "counting.py:1")

        def record_count(self):
            return 5

        def take(self, most):
            records = [(self.cursor + i) % 5 for i in range(most)]
            self.cursor = (self.cursor + most) % 5
            return records

        def read(self, record):
            if record == self.settings.new_height:
                raise caffe.CaffeError("record 3 is bad")
            return np.full((1, 1, 1), record, dtype=np.uint8)

        def label(self, record, content):
            return 10 * int(content[0, 0, 0])

        def record_name(self, record):
            return f"number {record}"

        num_top = (1, 2)

    yield Counting
    del registry._registry["Counting"]


def net_of(net_from, tops='top: "x" top: "t"', fields="batch_size: 2 new_height: 99"):
    return net_from(
        f'layer {{ name: "layer" type: "Counting" {tops} image_data_param {{ {fields} }} }}'
    )


def test_records_in_order_with_their_labels(counting, net_from):
    net = net_of(net_from)
    found = []
    for _ in range(3):
        net.forward()
        found.append((net.blobs["x"].data.ravel().tolist(), net.blobs["t"].data.tolist()))
    net.close()
    assert found == [([0, 1], [0, 10]), ([2, 3], [20, 30]), ([4, 0], [40, 0])]


def test_one_top_has_no_labels(counting, net_from):
    net = net_of(net_from, 'top: "x"')
    net.forward()
    assert list(net.blobs) == ["x"]
    assert net.blobs["x"].shape == (2, 1, 1, 1)
    net.close()


def test_the_thread_runs_from_the_first_forward_until_close(counting, net_from):
    def readers():
        return [thread for thread in threading.enumerate() if thread.name == "data layer layer"]

    net = net_of(net_from)
    assert not readers()
    net.forward()
    assert len(readers()) == 1
    net.close()
    assert not readers()
    net.forward()
    assert len(readers()) == 1
    net.close()


def test_the_thread_ends_with_the_net(counting, net_from):
    """pycaffe's nets have no close."""
    net = net_of(net_from)
    net.forward()
    reader = net.nodes[0].layer.reader
    net.itself = net  # as in a program whose objects refer to each other
    assert reader.is_alive()
    del net
    gc.collect()
    reader.join(timeout=60)
    assert not reader.is_alive()


def test_what_was_read_ahead_is_read_again_after_close(counting, net_from):
    """The queue holds a batch more than was asked for when the reader is stopped."""
    net = net_of(net_from)
    found = []
    for _ in range(3):
        net.forward()
        found.append(net.blobs["x"].data.ravel().tolist())
        while not net.nodes[0].layer.ready.full():
            time.sleep(0.01)
        net.close()
    assert found == [[0, 1], [2, 3], [4, 0]]


@pytest.mark.parametrize(("large", "ahead"), [(23, 1), (24, 2)])
def test_batches_that_are_read_ahead(counting, net_from, monkeypatch, large, ahead):
    """A batch takes 24 bytes; one waits in the queue, and the reader may hold another."""
    monkeypatch.setattr(prefetching, "LARGE", large)
    net = net_of(net_from, fields="batch_size: 6 new_height: 99")
    layer, chosen = net.nodes[0].layer, []
    choose = layer.choose
    monkeypatch.setattr(layer, "choose", lambda: chosen.append(layer.cursor) or choose())
    for taken in range(1, 4):
        net.forward()
        while len(chosen) < taken + ahead or not layer.ready.full():
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(chosen) == taken + ahead
    assert net.blobs["x"].data.ravel().tolist() == [2, 3, 4, 0, 1, 2]
    net.close()


def test_an_error_of_the_reader_is_raised_by_forward(counting, net_from):
    net = net_of(net_from, fields="batch_size: 2 new_height: 3")
    net.forward()
    with pytest.raises(caffe.CaffeError, match=r"^record 3 is bad$"):
        net.forward()
    net.close()


def test_batch_size_is_checked_for_every_source(counting, net_from):
    with pytest.raises(caffe.CaffeError, match=r"image_data_param.batch_size must be at least 1"):
        net_of(net_from, fields="batch_size: 0")


def test_data_and_image_data_are_siblings():
    """Neither is made from the other, whose constructor it would have to skip."""
    assert Data.__base__ is ImageData.__base__ is PrefetchingLayer
