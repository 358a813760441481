"""A resumed training equals one that was never stopped, bit for bit: the same weights and the same
lines in the log, wherever it was stopped.
"""

import hashlib
import re

import cv2
import h5py
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import caffe
import caffe.cli
from caffe import mode, resume_point, snapshot
from caffe.database import Writer
from caffe.proto import caffe_pb2

ITERATIONS = 8
ABOVE = """
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "h" top: "h" }}
layer {{ name: "drop" type: "Dropout" bottom: "h" top: "h" }}
layer {{ name: "scores" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }}
"""
CROP = "transform_param { crop_size: 5 mirror: true scale: 0.01 }"
ONE_PHASE = "include { phase: TRAIN }", "include { phase: TEST }"
LMDB = (
    f'layer {{{{ name: "d" type: "Data" top: "x" top: "t" {{phase}} {CROP.replace("{", "{{").replace("}", "}}")}'
    ' data_param {{ source: "{folder}/{file}" backend: LMDB batch_size: 3 rand_skip: 3 }} }}'
)
IMAGES = (
    f'layer {{{{ name: "d" type: "ImageData" top: "x" top: "t" {{phase}} {CROP.replace("{", "{{").replace("}", "}}")}'
    ' image_data_param {{ source: "{folder}/{file}" batch_size: 3 shuffle: true }} }}'
)
HDF5 = (
    'layer {{ name: "d" type: "HDF5Data" top: "x" top: "t" {phase}'
    ' hdf5_data_param {{ source: "{folder}/{file}" batch_size: 3 shuffle: true }} }}'
)
SOURCES = {  # the layer, and the files of the training net and of the test net
    "lmdb": (LMDB, "lmdb_7", "lmdb_5"),
    "images": (IMAGES, "list_7", "list_5"),
    "hdf5": (HDF5, "h5_two", "h5_one"),
}
DRAWN = """
layer { name: "d" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 3 dim: 6 } shape { dim: 3 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 2 } } }
"""
SEQUENCES = """
layer { name: "d" type: "DummyData" top: "x" top: "cont" top: "t" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 dim: 4 }
  data_filler { type: "uniform" } data_filler { type: "constant" value: 1 } data_filler { type: "uniform" } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "y" recurrent_param { num_output: 4
  weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""


def pixels(number):
    """An image (7, 8, 3) that differs from the others."""
    return np.random.default_rng(number).integers(0, 256, (7, 8, 3), dtype=np.uint8)


def make_lmdb(path, count):
    with Writer(path) as database:
        for i in range(count):
            datum = caffe_pb2.Datum(channels=3, height=7, width=8, label=i % 4)
            datum.data = pixels(i).transpose(2, 0, 1).tobytes()
            database.put(f"{i:04}", datum)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The sources of SOURCES."""
    folder = tmp_path_factory.mktemp("data")
    for count in (5, 7):
        make_lmdb(folder / f"lmdb_{count}", count)
        lines = []
        for i in range(count):
            cv2.imwrite(f"{folder}/{count}_{i}.png", pixels(i))
            lines.append(f"{folder}/{count}_{i}.png {i % 4}\n")
        (folder / f"list_{count}").write_text("".join(lines))
    for name, rows in (("a", 5), ("b", 4)):
        with h5py.File(folder / f"{name}.h5", "w") as f:
            f["x"] = np.random.default_rng(rows).normal(size=(rows, 6))
            f["t"] = np.arange(rows) % 4
    (folder / "h5_two").write_text(f"{folder}/a.h5\n{folder}/b.h5\n")
    (folder / "h5_one").write_text(f"{folder}/b.h5\n")
    return folder


def net_text(source, folder):
    if source in SOURCES:
        layer, *files = SOURCES[source]
        return "".join(
            layer.format(folder=folder, file=file, phase=phase)
            for file, phase in zip(files, ONE_PHASE, strict=True)
        ) + ABOVE.format()
    return {"drawn": DRAWN + ABOVE.format(), "sequences": SEQUENCES}[source]


class Training:
    """Trainings of one net by one solver, in a folder of their own."""

    def __init__(self, folder, data, capfd, source, settings):
        self.folder, self.capfd = folder, capfd
        self.hdf5 = "snapshot_format: HDF5" in settings
        self.file = folder / "solver.prototxt"
        (folder / "net.prototxt").write_text(net_text(source, data))
        self.settings = (
            f'net: "{folder}/net.prototxt" lr_policy: "fixed" random_seed: 3 max_iter: {ITERATIONS}'
            f' snapshot_prefix: "{folder}/s" display: 1 {settings}'
        )
        if "base_lr" not in settings:
            self.settings += " base_lr: 0.05"
        self.write()

    def write(self, more="snapshot_after_train: false"):
        self.file.write_text(f"{self.settings} {more}")

    def state(self, iteration):
        end = ".h5" if self.hdf5 else ""
        return self.folder / f"s_iter_{iteration}.solverstate{end}"

    def solver(self):
        return caffe.get_solver(str(self.file))

    def solve(self, state=None, restart_data=False, request=None):
        """Train until the end or the request; the log's lines of numbers, and the weights."""
        self.capfd.readouterr()
        solver = self.solver()
        if request is not None:
            solver.request = request
        if state is not None:
            solver.restore(str(state), restart_data)
        solver.solve()
        solver.close()
        return self.lines(), weights(solver)

    def lines(self):
        """What the log says of losses, outputs and tests, without times and speeds."""
        found = []
        for line in self.capfd.readouterr().err.splitlines():
            text = re.sub(r" \(\S+ iter/s, \S+ iters\)", "", line.partition("] ")[2])
            if text.startswith("    T") or re.match(r"Iteration \d+, (loss|lr|Testing)", text):
                found.append(text)
        return found


def weights(solver):
    """A checksum of all weights."""
    digest = hashlib.sha256()
    for layer in solver.net.layers:
        for blob in layer.blobs:
            digest.update(blob.data.tobytes())
    return digest.hexdigest()


def from_iteration(lines, iteration):
    """The log from an iteration's test or loss on."""
    start = next(i for i, text in enumerate(lines) if re.match(rf"Iteration {iteration}\b", text))
    return lines[start:]


@pytest.fixture
def training(tmp_path, data, capfd, monkeypatch):
    """training(source, settings): a Training whose log can be read."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    return lambda source, settings="momentum: 0.9": Training(
        tmp_path, data, capfd, source, settings
    )


TESTS = "test_iter: 2 test_interval: 3"
MOMENTUM = f"momentum: 0.9 {TESTS}"
ADAM = f'type: "Adam" momentum: 0.9 momentum2: 0.99 base_lr: 0.01 snapshot_format: HDF5 {TESTS}'
MANY = f"momentum: 0.9 iter_size: 2 average_loss: 3 test_initialization: false {TESTS}"
CASES = [
    ("lmdb", MOMENTUM),
    ("lmdb", ADAM),
    ("lmdb", MANY),
    ("images", MOMENTUM),
    ("images", ADAM),
    ("images", f"{MANY} snapshot_format: HDF5"),
    ("hdf5", MOMENTUM),
    ("hdf5", ADAM),
    ("hdf5", MANY),
    ("drawn", MANY),
    ("drawn", ADAM),
    ("sequences", MOMENTUM),
    ("sequences", ADAM),
]


@pytest.mark.parametrize(("source", "settings"), CASES)
def test_from_every_iteration(training, source, settings):
    run = training(source, settings)
    lines, final = run.solve()
    assert len([text for text in lines if ", loss = " in text]) == ITERATIONS + 1
    run.write("snapshot: 1")
    assert run.solve() == (lines, final)  # taking snapshots changes nothing
    run.write()
    for iteration in range(1, ITERATIONS):
        assert run.solve(run.state(iteration)) == (from_iteration(lines, iteration), final)


@pytest.mark.parametrize("source", ["lmdb", "images", "hdf5", "drawn", "sequences"])
def test_several_resumptions_in_a_row(training, source):
    """Stopped after one or two iterations each time, or in the middle of a round of tests."""
    run = training(source, MANY)
    lines, final = run.solve()
    run.write("")  # a training that is stopped writes a snapshot
    state, iteration, seen, stops = None, 0, [], 0
    while not seen or not seen[-1].startswith(f"Iteration {ITERATIONS}, loss"):
        requests = iter(["none"] * (1 + stops % 2) + ["stop"])
        found, end = run.solve(state, request=lambda waiting=requests: next(waiting, "none"))
        if seen and seen[-1].startswith("Iteration 3, Testing"):
            del seen[-1]  # tested again
        seen += found
        iteration = max(int(path.stem.split("_")[2]) for path in run.folder.glob("s_iter*state"))
        state = run.state(iteration)
        stops += 1
    assert stops > 4
    assert seen == lines
    assert end == final
