"""Batches that cannot fit into memory are refused before anything is read or allocated."""

import h5py
import pytest

import caffe
from caffe import allocation, cli
from caffe.database import Writer
from caffe.proto import caffe_pb2

LAYERS = {
    "Data": 'type: "Data" top: "x" data_param {{ source: "{0}/db" batch_size: {1} backend: LMDB }}',
    "ImageData": 'type: "ImageData" top: "x" top: "t" image_data_param {{ source: "{0}/list.txt"'
    " batch_size: {1} }}",
    "HDF5Data": 'type: "HDF5Data" top: "x" hdf5_data_param {{ source: "{0}/h5.txt"'
    " batch_size: {1} }}",
    "MemoryData": 'type: "MemoryData" top: "x" top: "t" memory_data_param {{ batch_size: {1}'
    " channels: 3 height: 9 width: 9 }}",
    "DummyData": 'type: "DummyData" top: "x" dummy_data_param {{'
    " shape {{ dim: {1} dim: 3 dim: 9 dim: 9 }} }}",
}


@pytest.fixture
def sources(tmp_path):
    """A source for each layer: one record of 3 x 9 x 9."""
    import cv2
    import numpy as np

    with Writer(tmp_path / "db") as writer:
        writer.put("0", caffe_pb2.Datum(channels=3, height=9, width=9, data=bytes(243)))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), dtype=np.uint8))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.png 0\n")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["x"] = np.zeros((1, 3, 9, 9))
    (tmp_path / "h5.txt").write_text(f"{tmp_path}/a.h5\n")
    return tmp_path


@pytest.mark.parametrize("kind", LAYERS)
def test_a_batch_larger_than_memory_is_refused(sources, net_from, kind):
    text = 'layer {{ name: "d" {0} }}'
    with pytest.raises(
        caffe.CaffeError, match=rf"layer 'd' \({kind}\).*; lower (batch_size|shape)"
    ):
        net_from(text.format(LAYERS[kind].format(sources, 2_000_000_000)))
    net_from(text.format(LAYERS[kind].format(sources, 2))).close()


@pytest.mark.parametrize("kind", LAYERS)
def test_a_batch_larger_than_this_machines_memory_is_refused(sources, net_from, kind, monkeypatch):
    """3 x 10^6 items of 243 numbers of four bytes are 2.7 GiB, on a machine of 1 GiB."""
    monkeypatch.setattr(allocation, "available", lambda device: 1 << 30)
    with pytest.raises(
        caffe.CaffeError,
        match=r"needs 2.7 GiB, there are 1.0 GiB of memory; lower (batch_size|shape)",
    ):
        net_from(f'layer {{ name: "d" {LAYERS[kind].format(sources, 3_000_000)} }}')


def test_a_training_names_the_field_to_lower(sources, tmp_path, fatal):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" ' + LAYERS["Data"].format(sources, 2_000_000_000) + " }"
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed"'
    )
    assert "lower batch_size" in fatal(cli.main, "train", "-solver", tmp_path / "solver.prototxt")
