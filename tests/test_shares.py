"""Images shared by several processes: the same files as from one process, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import caffe
from texttopicnet import features, parallel, shares
from texttopicnet.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "experiments" / "extract_features.py"
DEPLOY = """
name: "Small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 5 stride: 4
                      weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A net, its weights, eleven images, and features of one process in batches of two."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "deploy.prototxt").write_text(DEPLOY)
    caffe.set_random_seed(0)
    caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST).save(str(folder / "net.caffemodel"))
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(11):
        image = rng.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{i:02}.png"), image)
    done = run(folder, "one")
    assert done.returncode == 0, done.stderr
    return folder


def command(folder, name, *options, images="images"):
    return [
        SCRIPT,
        "--net",
        folder / "deploy.prototxt",
        "--weights",
        folder / "net.caffemodel",
        "--images",
        folder / images,
        "--blobs",
        "fc,conv",
        "--batch",
        "2",
        "--out",
        f"{folder}/{name}_{{blob}}.npz",
        *options,
    ]


def run(folder, name, *options, start=(sys.executable,), **settings):
    return subprocess.run(
        list(map(str, [*start, *command(folder, name, *options, **settings)])),
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.mark.parametrize(
    ("name", "start", "options"),
    [
        ("workers", (sys.executable,), ("--processes", "2")),
        ("ranks", TORCHRUN, ()),
    ],
)
def test_two_processes_write_the_files_of_one(folder, name, start, options):
    done = run(folder, name, *options, start=start)
    assert done.returncode == 0, done.stderr
    for blob in ("fc", "conv"):
        one, two = (features.load(folder / f"{who}_{blob}.npz") for who in ("one", name))
        assert two.ids == one.ids
        assert two.weights_sha256 == one.weights_sha256
        np.testing.assert_array_equal(two.array, one.array)
    lines = [line for line in done.stdout.splitlines() if line.startswith("fc:")]
    assert lines == [f"fc: 11 images x 3 -> {folder}/{name}_fc.npz"]  # one process speaks


@pytest.mark.parametrize(
    ("name", "start", "options"),
    [("workers", (sys.executable,), ("--processes", "2")), ("ranks", TORCHRUN, ())],
)
def test_a_bad_image_is_one_sentence_and_nothing_is_written(folder, name, start, options):
    bad = folder / f"bad_{name}"
    bad.mkdir()
    for i in range(7):
        image = (folder / "images" / f"{i:02}.png").read_bytes()
        (bad / f"{i:02}.png").write_bytes(image if i != 6 else b"no image")
    done = run(folder, f"bad_{name}", *options, start=start, images=bad.name)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "06.png" in errors[0]
    assert not list(folder.glob(f"*bad_{name}_*"))


def test_a_killed_run_leaves_nothing(folder):
    made = subprocess.Popen(
        list(map(str, [sys.executable, *command(folder, "killed", "--processes", "2")])),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    made.stdout.readline()  # "features: ...": it has begun
    time.sleep(0.2)
    os.killpg(made.pid, signal.SIGKILL)
    made.wait()
    made.stdout.close()
    assert not list(folder.glob("*killed*"))


@pytest.fixture
def group(monkeypatch):
    """group(rank, count): as if torchrun had started this process."""

    def group(rank, count):
        values = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "x", "MASTER_PORT": 1}
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return group


@pytest.mark.parametrize(
    ("total", "batch", "count", "sizes"),
    [(11, 2, 2, [6, 5]), (10, 5, 3, [0, 5, 5]), (7, 2, 4, [2, 2, 2, 1]), (1, 50, 2, [0, 1])],
)
def test_a_share_is_whole_batches(group, total, batch, count, sizes):
    items, found = list(range(total)), []
    for rank in range(count):
        group(rank, count)
        assert (shares.rank(), shares.count()) == (rank, count)
        found.append(shares.own(items, batch))
    assert list(map(len, found)) == sizes
    assert [item for part in found for item in part] == items


def test_without_torchrun_this_process_is_the_only_one():
    assert (shares.rank(), shares.count(), shares.gpu()) == (0, 1, 0)
    assert shares.own([1, 2, 3], 2) == [1, 2, 3]


@pytest.mark.parametrize(
    ("total", "workers", "sizes"),
    [(20, 2, [8, 8, 4]), (8, 2, [4, 4]), (3, 4, [2, 1]), (9, 8, [2, 2, 2, 2, 1])],
)
def test_pieces_are_whole_batches(total, workers, sizes):
    assert list(map(len, shares.pieces(range(total), 2, workers))) == sizes


def test_pieces_are_joined_in_their_order():
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    whole = shares.collected([{"a": rows[:1]}, {}, {"a": rows[1:3]}, {"a": rows[3:]}], 4)
    np.testing.assert_array_equal(whole["a"], rows)
    assert shares.collected([], 0) == {}


def doubled(items, silent):
    if 13 in items:
        raise UserError("thirteen")
    return {"x": 2 * np.array(items, dtype=np.float32)[:, None]}


@pytest.mark.parametrize("processes", [1, 3])
def test_together(monkeypatch, processes):
    found = shares.together(doubled, list(range(12)), 2, processes)
    np.testing.assert_array_equal(found["x"][:, 0], 2 * np.arange(12))
    with pytest.raises(UserError, match="thirteen"):
        shares.together(doubled, list(range(20)), 2, processes)


def test_no_more_processes_than_cores(monkeypatch):
    monkeypatch.setattr(parallel, "usable", lambda _: 1)
    monkeypatch.setattr(parallel, "ordered_map", None)  # no worker process is started
    assert len(shares.together(doubled, [1, 2], 1, 8)["x"]) == 2
