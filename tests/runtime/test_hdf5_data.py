"""HDF5Data: rows of files, file after file."""

import os

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import caffe


@pytest.fixture
def make(net_from, tmp_path):
    """make(fields, {"x": [...]}, ...): a net over one HDF5 file per dict.

    The names in the first dict are the tops, unless `tops` gives others.
    """

    def build(fields, *files, tops=None):
        paths = []
        for i, arrays in enumerate(files):
            paths.append(tmp_path / f"{i}.h5")
            with h5py.File(paths[-1], "w") as f:
                for name, array in arrays.items():
                    f[name] = array
        (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in paths))
        wires = " ".join(f'top: "{name}"' for name in tops or files[0])
        return net_from(
            f'layer {{ name: "layer" type: "HDF5Data" {wires} hdf5_data_param {{ source:'
            f' "{tmp_path / "list.txt"}" {fields} }} }}'
        )

    return build


def test_files_are_read_in_turn_again_and_again(make):
    net = make("batch_size: 2", {"x": [0, 1, 2], "y": [[0], [10], [20]]}, {"x": [3.5], "y": [[35]]})
    found = []
    for _ in range(4):
        net.forward()
        assert net.blobs["y"].shape == (2, 1)
        assert_array_equal(net.blobs["y"].data[:, 0], 10 * net.blobs["x"].data)
        found.extend(net.blobs["x"].data)
    assert_array_equal(found, [0, 1, 2, 3.5, 0, 1, 2, 3.5])


def test_a_batch_longer_than_the_file(make):
    assert_array_equal(make("batch_size: 5", {"x": [1, 2]}).forward()["x"], [1, 2, 1, 2, 1])


def test_shuffle_goes_through_all_rows(make):
    caffe.set_random_seed(0)
    net = make("batch_size: 12 shuffle: true", {"x": np.arange(8)}, {"x": np.arange(8, 12)})
    rounds = [net.forward()["x"].astype(int).tolist() for _ in range(2)]
    assert rounds[0] != rounds[1]
    for found in rounds:
        assert sorted(found) == list(range(12))
        # one file at a time
        assert set(found[:8]) == set(range(8)) or set(found[:4]) == set(range(8, 12))


@pytest.mark.parametrize(
    ("fields", "arrays", "match"),
    [
        ("", {"x": [1]}, "batch_size must be at least 1"),
        ("batch_size: 1", {"x": [1], "y": [1, 2]}, r"have \[1, 2\] rows"),
        ("batch_size: 1", {"x": np.zeros((0, 2))}, r"have \[0\] rows"),
        ("batch_size: 1", {"x": [b"text"]}, "does not hold rows of numbers"),
        (
            "batch_size: 1 } transform_param { scale: 2",
            {"x": [1]},
            "transform_param does not apply",
        ),
    ],
)
def test_refused(make, fields, arrays, match):
    with pytest.raises(caffe.CaffeError, match=match):
        make(fields, arrays)


def test_refuses_a_missing_dataset_and_an_empty_list(make):
    with pytest.raises(caffe.CaffeError, match="no dataset 'z'; it has x"):
        make("batch_size: 1", {"x": [1]}, tops=["z"])
    with pytest.raises(caffe.CaffeError, match="lists no HDF5 files"):
        make("batch_size: 1", tops=["x"])


def test_a_fifo_does_not_hang(make, tmp_path):
    net = make("batch_size: 2", {"x": [1]}, {"x": [2]})
    (tmp_path / "1.h5").unlink()
    os.mkfifo(tmp_path / "1.h5")
    with pytest.raises(caffe.CaffeError, match=r"1.h5 cannot be read as HDF5 .*is a FIFO"):
        net.forward()


def test_refuses_a_file_that_was_deleted(make, tmp_path):
    net = make("batch_size: 2", {"x": [1]}, {"x": [2]})
    (tmp_path / "1.h5").unlink()
    with pytest.raises(caffe.CaffeError, match=r"1.h5 cannot be read as HDF5"):
        net.forward()


def test_refuses_rows_of_another_shape_in_one_batch(make):
    net = make("batch_size: 2", {"x": [[1, 2]]}, {"x": [[1, 2, 3]]})
    with pytest.raises(caffe.CaffeError, match="another shape than those of the file before"):
        net.forward()
