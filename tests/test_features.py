"""Features files: any other file is one sentence that names it, whatever np.load raises."""

import os
import resource

import numpy as np
import pytest

from texttopicnet import features
from texttopicnet.errors import UserError
from texttopicnet.features import Features

GOOD = {
    "ids": ["a", "b"],
    "features": np.ones((2, 3), np.float32),
    "blob": "fc7",
    "weights_sha256": "ab",
}


def test_round_trip(tmp_path):
    features.save(
        tmp_path / "f.npz", Features(["a/1", "é"], np.float32([[1, 2], [3, 4]]), "fc7", "ab")
    )
    found = features.load(tmp_path / "f.npz", blob="fc7")
    assert (found.ids, found.blob, found.weights_sha256) == (["a/1", "é"], "fc7", "ab")
    np.testing.assert_array_equal(found.array, np.float32([[1, 2], [3, 4]]))


@pytest.mark.parametrize(
    "changed",
    [
        {"ids": ["a", "b", "c"]},
        {"ids": [["a"], ["b"]]},
        {"ids": [1, 2]},
        {"ids": np.array(["a", "b"], dtype=object)},
        {"ids": np.zeros(2, "U0"), "features": np.ones((2, 0), np.float32)},
        {"features": np.ones((2, 3))},
        {"features": np.ones(2, np.float32)},
        {"features": np.zeros((2, 3), "f4,f4")},
        {"blob": ["fc7"]},
        {"blob": 7},
        {"weights_sha256": b"ab"},
    ],
)
def test_other_arrays_are_refused(tmp_path, changed):
    np.savez(tmp_path / "f.npz", **{**GOOD, **changed})
    with pytest.raises(UserError) as caught:
        features.load(tmp_path / "f.npz")
    assert "f.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "lacking.npz", ids=["a"])
    (tmp_path / "empty.npz").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    for name in ("array", "lacking", "empty", "pipe", "folder"):
        with pytest.raises(UserError, match=rf"{name}.npz is not a (features|regular) file"):
            features.load(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match=r"none.npz does not exist"):
        features.load(tmp_path / "none.npz")


def test_a_full_disk_is_one_sentence(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"f.npz.*(File too large|no space|No space)"):
            features.save(
                tmp_path / "f.npz", Features(["a"], np.ones((1, 100_000), np.float32), "fc7", "ab")
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []
