"""The share of the recordings that is in the project: complete, small, and equal to the whole."""

import json

import numpy as np
import pytest
import recorded

RUNS = (
    "adadelta adagrad adam nesterov_step rmsprop sgd_clip sgd_fixed sgd_frozen_conv123 sgd_inv"
    " sgd_itersize2 sgd_l1_strong sgd_l2_strong sgd_multistep sgd_nomomentum_nowd sgd_poly sgd_step"
    " sgd_step_h5"
)


@pytest.fixture(scope="module")
def share():
    return recorded.unpacked(recorded.SHARE / "caffe")


def test_it_is_at_most_8_mb():
    files = [path for path in recorded.SHARE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8_000_000


def test_every_layer_case_is_in_it(share):
    cases = json.loads((share / "layers" / "index.json").read_text("utf-8"))
    assert len(cases) == 138
    for case in cases:
        assert (share / "layers" / f"{case}.prototxt").is_file()
        assert "phase" in np.load(share / "layers" / f"{case}.npz")


def test_every_runs_final_weights_are_in_it(share):
    weights = {f"final.{name}" for name in np.load(share / "train" / "init.npz").files}
    assert len(weights) == 16  # eight layers, weights and biases
    for run in RUNS.split():
        assert weights < set(np.load(share / "train" / "npz" / f"{run}.npz").files)
        assert (share / "train" / "runs" / run / "solver.prototxt").is_file()
    assert len(list((share / "train" / "npz").iterdir())) == len(RUNS.split()) == 17


def test_the_other_recordings_are_in_it():
    assert np.load(recorded.SHARE / "retrieval" / "retrieval.npz")["text"].shape == (240, 40)
    assert len(json.loads((recorded.SHARE / "text" / "markup.json").read_text("utf-8"))) == 9


WHOLE = recorded.SHARED / "golden"


@pytest.mark.skipif(not WHOLE.is_dir(), reason="needs ../shared/golden")
def test_it_is_a_part_of_the_whole(share):
    """Files are equal byte for byte, arrays value for value."""
    paths = [path for path in share.rglob("*") if path.is_file()]
    assert len(paths) > 400
    for path in paths:
        whole = WHOLE / "caffe" / path.relative_to(share)
        if path.suffix != ".npz":
            assert path.read_bytes() == whole.read_bytes(), path
            continue
        ours, theirs = np.load(path), np.load(whole)
        assert set(ours.files) <= set(theirs.files)
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])
            assert ours[name].dtype == theirs[name].dtype
    for name in ("retrieval/retrieval.npz",):
        assert (recorded.SHARE / name).read_bytes() == (WHOLE / name).read_bytes()
    assert recorded.markup() == json.loads((recorded.SHARE / "text/markup.json").read_text("utf-8"))
