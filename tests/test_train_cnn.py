"""CNN/train_cnn.py: solvers as runs use them, what trains and what is skipped, the record."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest

from caffe import prototxt, snapshot, weights_file
from caffe.proto import caffe_pb2
from texttopicnet.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
LOG = """net
I1231 23:59:50.000000    7 caffe.cpp:239] Starting Optimization
layer {
I1231 23:59:55.000000    7 solver.cpp:239] Iteration 0 (0 iter/s, 1s/20 iters), loss = 8.5
I0101 00:00:05.500000    7 solver.cpp:239] Iteration 20 (2 iter/s, 10s/20 iters), loss = 4
I0101 02:00:00.000000    8 data_layer.cpp:73] Restarting data prefetching from start.
I0101 03:00:00.000000    8 data_layer.cpp:73] Restarting data prefetching from start.
I0101 10:00:00.000000    9 solver.cpp:239] Iteration 20 (0 iter/s, 1s/20 iters), loss = 3.5
I0101 10:00:10.000000    9 solver.cpp:239] Iteration 40 (2 iter/s, 10s/20 iters), loss = 2e-2
I0101 10:00:10.000000    9 solver.cpp:327] Iteration 50, loss = 1e-2
"""
# two data layers and a layer between them and the loss: 3 x 4 x 4 pixels to 2 numbers
NET = """
layer { name: "data" type: "Data" top: "data" include { not_stage: "python" }
        data_param { source: "train_images_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "label" type: "Data" top: "label" include { not_stage: "python" }
        data_param { source: "train_labels_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "data" type: "DummyData" top: "data" top: "label" include { stage: "python" }
        dummy_data_param { shape { dim: 4 dim: 3 dim: 4 dim: 4 } shape { dim: 4 dim: 2 } } }
layer { name: "fc8" type: "InnerProduct" bottom: "data" top: "fc8"
        inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc8" bottom: "label" top: "loss" }
"""
# two fields on a line, an indented seed: what a line-wise reading gets wrong
SOLVER = """net: "train_val.prototxt" max_iter: 6 # max_iter: 9
  base_lr: 0.0000001 lr_policy: "fixed" display: 2 snapshot: 4
  random_seed: 3
snapshot_prefix: "snapshots/tiny" solver_mode: CPU
"""
UNTRAINED = """net: "train_val.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 0
snapshot_prefix: "snapshots/tiny_untrained" solver_mode: CPU
"""


@pytest.fixture(scope="module")
def script(load_script):
    return load_script("CNN/train_cnn.py")


def write_lmdb(path, data):
    with lmdb.open(str(path), map_size=1 << 20) as database, database.begin(write=True) as rows:
        for i, datum in enumerate(data):
            rows.put(f"{i:08d}".encode(), datum.SerializeToString())


@pytest.fixture
def tiny(script, tmp_path, monkeypatch):
    """A project folder with a tiny net, and its LMDBs in the work folder w."""
    source, folder = tmp_path / "CNN" / "Tiny", tmp_path / "w" / "CNN" / "Tiny"
    for made in (source, folder):
        made.mkdir(parents=True)
    (source / "train_val.prototxt").write_text(NET)
    (source / "solver.prototxt").write_text(SOLVER)
    (source / "solver_untrained.prototxt").write_text(UNTRAINED)
    (source / "layers.py").write_text("# a Python layer would be here\n")
    draw = np.random.default_rng(0)
    pixels = [draw.integers(0, 256, 48, np.uint8).tobytes() for _ in range(8)]
    write_lmdb(
        folder / "train_images_lmdb",
        [caffe_pb2.Datum(channels=3, height=4, width=4, data=p) for p in pixels],
    )
    write_lmdb(
        folder / "train_labels_lmdb",
        [caffe_pb2.Datum(channels=2, height=1, width=1, float_data=[0.5, 1]) for _ in pixels],
    )
    monkeypatch.setattr(script.artefacts, "ROOT", tmp_path)
    return folder


def run(script, monkeypatch, work, *arguments):
    monkeypatch.setattr(
        sys, "argv", ["x", "--work", str(work), "--net", "Tiny", *map(str, arguments)]
    )
    assert script.main() == 0


def training_record(folder):
    return json.loads((folder.parents[1] / "experiments/results/training.json").read_text())


def test_it_trains_both_nets_and_records(script, tiny, monkeypatch, capfd):
    monkeypatch.setenv("GLOG_minloglevel", "2")  # the log is complete all the same
    work = tiny.parents[1]
    run(script, monkeypatch, work, "--note", "tiny")
    assert sorted(p.name for p in tiny.iterdir() if p.is_file()) == [
        *("layers.py", "run_solver.prototxt", "run_solver_untrained.prototxt", "solver.prototxt"),
        *("solver_untrained.prototxt", "train_val.prototxt", "trained.caffemodel", "trained.log"),
        *("untrained.caffemodel", "untrained.log"),
    ]
    assert (tiny / "trained.caffemodel").samefile(tiny / "snapshots/tiny_iter_6.caffemodel")
    found = training_record(tiny)
    assert found["values"]["iterations"] == 6
    assert (found["seed"], found["note"], found["corpus"]) == (3, "tiny", "Tiny")
    assert [step for step, _ in found["losses"]] == [0, 2, 4, 6]
    printed = capfd.readouterr().out
    assert (tiny / "untrained.log").read_text() + str(tiny / "untrained.caffemodel") in printed
    assert (tiny / "trained.log").read_text() in printed

    before = (tiny / "trained.caffemodel").stat().st_mtime_ns
    run(script, monkeypatch, work)
    printed = capfd.readouterr().out
    assert printed.count("exists already: --force trains it again") == 2
    assert (tiny / "trained.caffemodel").stat().st_mtime_ns == before
    assert training_record(tiny)["note"] == "tiny"

    run(script, monkeypatch, work, "--force", "--seed", "5")
    assert training_record(tiny)["seed"] == 5
    assert training_record(tiny)["note"] == ""


def test_an_indented_seed_is_replaced_and_two_fields_of_a_line_are_read(script, tmp_path):
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    found = script.run_of("trained", tmp_path / "solver.prototxt", tmp_path, 11, ["python"])
    assert (found.solver.max_iter, found.solver.random_seed) == (6, 11)
    assert list(found.solver.train_state.stage) == ["python"]
    assert found.final == tmp_path / "snapshots" / "tiny_iter_6.caffemodel"
    assert (found.weights.name, found.log.name) == ("trained.caffemodel", "trained.log")
    kept = script.run_of("trained", tmp_path / "solver.prototxt", tmp_path, None, [])
    assert kept.solver == prototxt.read_solver(tmp_path / "solver.prototxt")


@pytest.mark.parametrize(
    ("fields", "final"),
    [
        ("max_iter: 7", "snapshots/run_s_iter_7.caffemodel"),
        ('max_iter: 7 snapshot_prefix: "a"', "a_iter_7.caffemodel"),
        ('max_iter: 7 snapshot_prefix: "folder"', "folder/run_s_iter_7.caffemodel"),
        ('max_iter: 7 snapshot_prefix: "a" snapshot_format: HDF5', "a_iter_7.caffemodel.h5"),
    ],
)
def test_where_the_last_snapshot_is(script, tmp_path, fields, final):
    (tmp_path / "folder").mkdir()
    (tmp_path / "s.prototxt").write_text(fields)
    found = script.run_of("trained", tmp_path / "s.prototxt", tmp_path, None, [])
    assert found.final == tmp_path / final


def test_force_removes_snapshots_of_this_training_only(script, tmp_path):
    (tmp_path / "s.prototxt").write_text('max_iter: 7 snapshot_prefix: "a"')
    names = [f"a_iter_{i}.{kind}" for i in (4, 7) for kind in ("caffemodel", "solverstate.h5")]
    others = ["a_untrained_iter_0.caffemodel", "ab_iter_7.caffemodel", "a_iter_7.txt", "b.log"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    found = script.run_of("trained", tmp_path / "s.prototxt", tmp_path, None, []).made()
    own = {"trained.caffemodel", "trained.log"}
    assert {path.name for path in found} == {*names, *own}


def test_a_net_without_lmdbs_needs_none(script, tiny, monkeypatch):
    """The solver's stages choose the data layers, also for the untrained net."""
    for name in ("train_images_lmdb", "train_labels_lmdb"):
        for path in (tiny / name).iterdir():
            path.unlink()
        (tiny / name).rmdir()
    with pytest.raises(
        UserError, match=r"train_images_lmdb does not exist: make it with scripts/04"
    ):
        run(script, monkeypatch, tiny.parents[1])
    solver = tiny.parents[2] / "CNN" / "Tiny" / "solver_python.prototxt"
    solver.parent.mkdir(exist_ok=True)
    source = script.artefacts.ROOT / "CNN" / "Tiny"
    (source / "solver_python.prototxt").write_text(f'{SOLVER} train_state {{ stage: "python" }}')
    run(script, monkeypatch, tiny.parents[1], "--solver", "solver_python.prototxt")
    assert (tiny / "untrained.caffemodel").is_file()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("solver.prototxt", "max_iter: 1", "the solver names no net"),
        ("solver.prototxt", "max_iter: many", r"solver\.prototxt:1: .*SolverParameter"),
        ("train_val.prototxt", "layer { nothing: 1 }", r"train_val\.prototxt:1: .*NetParameter"),
    ],
)
def test_a_wrong_file_is_named(script, tiny, monkeypatch, name, text, message):
    (script.artefacts.ROOT / "CNN" / "Tiny" / name).write_text(text)
    with pytest.raises(UserError, match=message):
        run(script, monkeypatch, tiny.parents[1])


def test_a_training_that_fails_says_so(script, tiny, monkeypatch):
    source = script.artefacts.ROOT / "CNN" / "Tiny" / "train_val.prototxt"
    source.write_text(NET.replace('bottom: "data" top: "fc8"', 'bottom: "none" top: "fc8"'))
    with pytest.raises(
        UserError, match=r"caffe train failed with status \d+, .*untrained.log says"
    ):
        run(script, monkeypatch, tiny.parents[1])
    assert "none" in (tiny / "untrained.log").read_text()


def start(tiny):
    """train_cnn.py as a separate process, on the tiny net."""
    root = tiny.parents[2]
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from pathlib import Path\nimport train_cnn\n"
        "from texttopicnet import artefacts, command_line\n"
        f"artefacts.ROOT = Path({str(root)!r})\ncommand_line.run(train_cnn.main)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, ROOT / "CNN", "--work", root / "w", "--net", "Tiny"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_snapshots_and_resumes(script, tiny, monkeypatch, number):
    source = script.artefacts.ROOT / "CNN" / "Tiny" / "solver.prototxt"
    source.write_text(SOLVER.replace("max_iter: 6 #", "max_iter: 1000000 #"))
    with start(tiny) as process:
        log = tiny / "trained.log"
        while not (log.exists() and "Iteration 2 " in log.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        said = process.stdout.read()
    assert process.returncode == 1
    assert said.splitlines()[-1] == (
        "error: training stopped before its last iteration: the same command resumes it from"
        f" {tiny}/snapshots/"
    )
    states = sorted(tiny.glob("snapshots/tiny_iter_*.solverstate"), key=os.path.getmtime)
    stopped = snapshot.read_solverstate(str(states[-1])).iter
    assert not (tiny / "trained.caffemodel").exists()
    source.write_text(SOLVER.replace("max_iter: 6 #", f"max_iter: {stopped + 2} #"))
    run(script, monkeypatch, tiny.parents[1])
    assert "restoring history" in log.read_text()
    assert training_record(tiny)["values"]["iterations"] >= stopped
    assert (tiny / "trained.caffemodel").samefile(
        tiny / f"snapshots/tiny_iter_{stopped + 2}.caffemodel"
    )


def test_two_parts_of_a_run_over_new_year(script, tmp_path):
    (tmp_path / "t.log").write_text(LOG)
    losses, seconds = script.read_log(tmp_path / "t.log")
    assert losses == {0: 8.5, 20: 3.5, 40: 0.02, 50: 0.01}
    assert seconds == pytest.approx(15.5 + 10)


def test_a_loss_that_is_not_a_number_is_left_out(script, tmp_path):
    (tmp_path / "t.log").write_text(LOG.replace("loss = 1e-2", "loss = nan"))
    assert script.read_log(tmp_path / "t.log")[0] == {0: 8.5, 20: 3.5, 40: 0.02}


def test_not_a_log(script, tmp_path):
    (tmp_path / "t.log").write_text("nothing\n")
    with pytest.raises(UserError, match=r"t.log has no line"):
        script.read_log(tmp_path / "t.log")


def test_a_net_trained_by_hand_is_recorded(script, tiny, monkeypatch):
    """With weights and a log but no record, nothing is trained and the log is read."""
    for name in ("trained", "untrained"):
        (tiny / f"{name}.caffemodel").write_bytes(b"weights")
    (tiny / "trained.log").write_text(LOG)
    run(script, monkeypatch, tiny.parents[1], "--seed", "5")
    found = training_record(tiny)
    assert found["values"] == {"last_loss": 0.01, "iterations": 50}
    assert (found["seed"], found["seconds"]) == (5, 25.5)
    assert (tiny / "trained.caffemodel").read_bytes() == b"weights"


FINE = NET.replace('"fc8"', '"fc8_new"').replace("num_output: 2", "num_output: 7")


@pytest.fixture
def fine(tiny):
    """A second net, whose fc8_new is not in the weights of Tiny; its LMDBs are Tiny's."""
    source = tiny.parents[2] / "CNN" / "Fine"
    source.mkdir()
    text = FINE.replace(
        'layer { name: "fc8_new"',
        'layer { name: "fc7" type: "InnerProduct" bottom: "data" top: "fc7" param { lr_mult: 0 }\n'
        "  param { lr_mult: 0 } inner_product_param { num_output: 3 } }\n"
        'layer { name: "fc8_new"',
    ).replace('bottom: "data" top: "fc8_new"', 'bottom: "fc7" top: "fc8_new"')
    (source / "train_val.prototxt").write_text(text)
    (source / "solver.prototxt").write_text(SOLVER)
    start = tiny.parents[2] / "start.caffemodel"
    net = caffe_pb2.NetParameter(name="start")
    layer = net.layer.add(name="fc7", type="InnerProduct")
    for shape, value in (((3, 48), 0.25), ((3,), 1.5)):
        blob = layer.blobs.add()
        blob.shape.dim.extend(shape)
        blob.data.extend([value] * int(np.prod(shape)))
    start.write_bytes(net.SerializeToString())
    folder = tiny.parent / "Mine"
    folder.mkdir()
    for name in ("train_images_lmdb", "train_labels_lmdb"):
        shutil.copytree(tiny / name, folder / name)
    return folder, start


def test_fine_tuning_begins_with_weights_and_has_its_own_files(script, fine, monkeypatch):
    folder, start = fine
    options = ["--net", "Fine", "--into", "Mine", "--classes", "2", "--weights", start]
    run(script, monkeypatch, folder.parents[1], *options, "--name", "first")
    run(script, monkeypatch, folder.parents[1], *options, "--name", "second")
    names = {path.name for path in folder.iterdir()}
    assert {"first.caffemodel", "first.log", "second.caffemodel", "second.log"} <= names
    assert not {"trained.caffemodel", "untrained.caffemodel"} & names
    found = dict(weights_file.read_layers(folder / "first.caffemodel"))
    assert set(found["fc7"][0].data) == {0.25}
    assert set(found["fc7"][1].data) == {1.5}
    assert found["fc8_new"][0].shape == (2, 3)  # as --classes says
    records = folder.parents[1] / "experiments/results"
    record = json.loads((records / "training_Mine_first.json").read_text())
    assert (record["experiment"], record["values"]["iterations"]) == ("fine_tuning_log", 6)
    assert record["inputs"]["start"]["sha256"] == script.artefacts.sha256(start)
    assert not (records / "training.json").exists()
    original = folder.parents[2] / "CNN" / "Fine" / "train_val.prototxt"
    assert "num_output: 7" in original.read_text()


def test_the_nets_own_files_keep_their_number_of_classes(script, fine, monkeypatch):
    folder, start = fine
    source = folder.parents[2] / "CNN" / "Fine"
    with pytest.raises(UserError, match=r"train_val.prototxt has 7 classes, not 2: give --into"):
        script.copy_net(source, source, 2)
    assert "num_output: 7" in (source / "train_val.prototxt").read_text()
    monkeypatch.setattr(sys, "argv", ["x", "--net", "Fine", "--classes", "2"])
    with pytest.raises(UserError, match="belong to a fine-tuning: give --weights, too"):
        script.main()
    monkeypatch.setattr(sys, "argv", ["x", "--net", "Fine", "--weights", str(start) + "x"])
    with pytest.raises(UserError, match=r"start.caffemodelx does not exist"):
        script.main()


@pytest.mark.parametrize(
    ("lines", "gpu"),
    [
        (["Use CPU."], "none"),
        (["GPU 0: NVIDIA H100 80GB HBM3"], "NVIDIA H100 80GB HBM3"),
        (["GPU 1: A", "Use CPU."], "none"),  # resumed on another machine
        (["Use CPU.", "GPU 0: B"], "B"),
        ([], "none"),
    ],
)
def test_the_record_names_the_device_that_computed(script, tmp_path, lines, gpu):
    head = "I20261126 20:00:00.000000     1 caffe.cpp:208] "
    text = "".join(f"{head}{line}\n{head}Using GPUs 0\n" for line in lines)
    (tmp_path / "x.log").write_text(text)
    assert script.gpu_of(tmp_path / "x.log") == gpu


@pytest.mark.parametrize(
    ("lines", "precision"),
    [
        ([], "fp32"),  # a log of an older version
        (["Precision: fp32; cache: none"], "fp32"),
        (["Precision: fp32; cache: none", "Precision: tf32; cache: gpu"], "tf32"),
    ],
)
def test_the_record_names_the_precision(script, tmp_path, lines, precision):
    head = "I20261126 20:00:00.000000     1 caffe.cpp:209] "
    (tmp_path / "x.log").write_text("".join(f"{head}{line}\n" for line in lines))
    assert script.precision_of(tmp_path / "x.log") == precision


def test_a_precision_that_the_device_lacks_ends_the_training(script, tiny, monkeypatch):
    with pytest.raises(UserError, match=r"trained\.log says why"):
        run(script, monkeypatch, tiny.parents[1], "--precision", "tf32")
    assert "precision tf32 needs a GPU" in (tiny / "untrained.log").read_text()


def test_gpu_without_one_ends_the_training(script, tiny, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"trained\.log says why"):
        run(script, monkeypatch, tiny.parents[1], "--gpu")
    assert "-gpu 0: PyTorch finds no CUDA device" in (tiny / "untrained.log").read_text()
