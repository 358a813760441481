"""HDF5Output: what goes in is in the file."""

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

DATA, LABEL = np.arange(6).reshape(2, 3), [7, 8]


def output(path):
    return f'type: "HDF5Output" hdf5_output_param {{ file_name: "{path}" }}'


def test_writes_four_axes(one_layer, tmp_path):
    path = tmp_path / "out.h5"
    layer = one_layer(output(path), tops=0, data=DATA, label=LABEL)
    assert not path.exists()  # before the first forward
    layer.net.forward()
    with h5py.File(path) as f:
        assert f["data"].dtype == np.float32
        assert_array_equal(f["data"], DATA.reshape(2, 3, 1, 1))
        assert_array_equal(f["label"], np.reshape(LABEL, (2, 1, 1, 1)))


def test_every_forward_appends_its_rows(one_layer, tmp_path):
    path = tmp_path / "out.h5"
    path.write_text("what was there before")
    layer = one_layer(output(path), tops=0, data=DATA, label=LABEL)
    layer.net.forward()
    layer.net.blobs["data"].data[...] = 9
    layer.net.forward()
    with h5py.File(path) as f:
        assert_array_equal(f["data"][:, :, 0, 0], [[0, 1, 2], [3, 4, 5], [9, 9, 9], [9, 9, 9]])
        assert_array_equal(f["label"][:, 0, 0, 0], [7, 8, 7, 8])


@pytest.mark.parametrize(
    ("path", "label", "match"),
    [
        ("", LABEL, "file_name is missing"),
        ("no/such/folder.h5", LABEL, "cannot write no/such"),
        ("x.h5", [7], "first axis"),
    ],
)
def test_refused(refused, path, label, match):
    refused(match, output(path), tops=0, data=DATA, label=label)


def test_refuses_five_axes(refused):
    refused("1 to 4 axes", output("x.h5"), tops=0, data=np.ones((2, 1, 1, 1, 1)), label=LABEL)


def test_has_no_tops(refused):
    refused("takes 0 top", output("x.h5"), tops=1, data=DATA, label=LABEL)
