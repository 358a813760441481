"""The command caffe: log lines, exit status, Ctrl-C, and resuming."""

import os
import re
import signal
import subprocess
import sys

import lmdb
import numpy as np
import pytest

from caffe import cli, log_grammar
from caffe.proto import caffe_pb2

LINE = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] ")


def command(*arguments, **options):
    environment = os.environ | {"GLOG_minloglevel": "0", "OMP_NUM_THREADS": "1"}
    return [sys.executable, "-m", "caffe.cli", *map(str, arguments)], {
        "env": environment,
        "text": True,
    } | options


def run(*arguments, cwd):
    line, options = command(*arguments, cwd=cwd, capture_output=True)
    return subprocess.run(line, **options)


@pytest.fixture
def task(tmp_path):
    """An LMDB of four records, a net that fits it, and a solver; a batch is the whole LMDB."""
    rng = np.random.default_rng(0)
    environment = lmdb.open(str(tmp_path / "db"), map_size=1 << 22)
    with environment.begin(write=True) as transaction:
        for i in range(4):
            datum = caffe_pb2.Datum(
                channels=5, height=1, width=1, float_data=rng.standard_normal(5), label=i % 2
            )
            transaction.put(f"{i:08d}".encode(), datum.SerializeToString())
    environment.close()
    (tmp_path / "net.prototxt").write_text(
        'name: "tiny" layer { name: "d" type: "Data" top: "x" top: "t"'
        ' data_param { source: "db" batch_size: 4 backend: LMDB } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 2 weight_filler {"
        ' type: "xavier" } } } layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y"'
        ' bottom: "t" top: "loss" }'
        'layer { name: "accuracy" type: "Accuracy" bottom: "y" bottom: "t" top: "accuracy"'
        " include { phase: TEST } }"
    )
    solver(tmp_path, 12)
    return tmp_path


def solver(folder, max_iter, more="display: 4 snapshot: 6"):
    (folder / "solver.prototxt").write_text(
        f'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: {max_iter}'
        f" random_seed: 1"
        f' snapshot_prefix: "s" {more}\n'
    )


def test_train_logs_in_caffes_grammar_and_exits_0(task):
    done = run("train", "--solver", "solver.prototxt", cwd=task)
    assert done.returncode == 0
    assert done.stdout == ""
    text = done.stderr
    heads = [row for row in text.splitlines() if re.match(r"^[IWEF]\d{4} ", row)]
    assert heads
    assert all(LINE.match(row) for row in heads)
    shown = re.findall(
        r"solver.cpp:\d+\] Iteration (\d+) \(\S+ iter/s, \S+s/4 iters\), loss = [\d.]+", text
    )
    assert shown == ["0", "4", "8"]
    assert re.search(r"Iteration 12, loss = [\d.]+", text)
    assert "Optimization Done." in text
    assert "Snapshotting to binary proto file s_iter_6.caffemodel" in text
    assert {p.name for p in task.glob("s_iter*")} == {
        f"s_iter_{i}.{e}" for i in (6, 12) for e in ("caffemodel", "solverstate")
    }


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_test_prints_means(task, dashes):
    run("train", "-solver", "solver.prototxt", cwd=task)
    arguments = [
        f"{dashes}model=net.prototxt",
        f"{dashes}weights",
        "s_iter_12.caffemodel",
        f"{dashes}iterations",
        "2",
    ]
    done = run("test", *arguments, cwd=task)
    assert done.returncode == 0
    assert len(re.findall(r"Batch [01], accuracy = ", done.stderr)) == 2
    assert re.search(r"\] accuracy = (1|0\.\d+)$", done.stderr, re.M)
    assert re.search(r"\] loss = \S+ \(\* 1 = \S+ loss\)$", done.stderr, re.M)


def interrupted(task, number, more=()):
    """Start a long training, send a signal when it runs; (exit status, log)."""
    solver(task, 10**7, "display: 50")
    line, options = command(
        "train", "--solver", "solver.prototxt", *more, cwd=task, stderr=subprocess.PIPE
    )
    process = subprocess.Popen(line, **options)
    try:
        rows = []
        for row in process.stderr:
            rows.append(row)
            if "Iteration 50 " in row:
                process.send_signal(number)
                break
        rest, status = process.stderr.read(), process.wait(300)
    finally:
        process.kill()
    return status, "".join(rows) + rest


def ip_weights(path):
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return next(np.array(layer.blobs[0].data) for layer in net.layer if layer.name == "ip")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_snapshot_and_the_snapshot_resumes(task, number):
    status, log = interrupted(task, number)
    assert status == 0
    assert "Optimization stopped early." in log
    (state,) = task.glob("s_iter_*.solverstate")
    stopped = int(state.name.split("_")[2].split(".")[0])
    assert stopped >= 50
    assert state.with_suffix(".caffemodel").is_file()
    solver(task, stopped + 7, "display: 1")
    resumed = run("train", "--solver", "solver.prototxt", "--snapshot", state.name, cwd=task)
    assert resumed.returncode == 0
    assert f"Resuming from {state.name}" in resumed.stderr
    weights = task / f"s_iter_{stopped + 7}.caffemodel"
    in_two_parts = ip_weights(weights)
    for path in task.glob("s_iter*"):
        path.unlink()
    assert run("train", "--solver", "solver.prototxt", cwd=task).returncode == 0
    np.testing.assert_array_equal(in_two_parts, ip_weights(weights))


def test_sigterm_in_a_test_pass(task):
    """A test of ten million batches ends after the running one, with a snapshot of iteration 0."""
    solver(task, 10, "test_iter: 10000000 test_interval: 10")
    line, options = command(
        "train", "--solver", "solver.prototxt", cwd=task, stderr=subprocess.PIPE
    )
    process = subprocess.Popen(line, **options)
    try:
        rows = []
        for row in process.stderr:
            rows.append(row)
            if "Testing net (#0)" in row:
                process.send_signal(signal.SIGTERM)
                break
        log, status = "".join(rows) + process.stderr.read(), process.wait(300)
    finally:
        process.kill()
    assert status == 0
    assert log.index("Test interrupted.") < log.index("Optimization stopped early.")
    assert (task / "s_iter_0.solverstate").is_file()


def test_a_solvers_mistake_names_its_file_once(task):
    (task / "solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "steep"')
    done = run("train", "--solver", "solver.prototxt", cwd=task)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (
        "] solver.prototxt: unknown lr_policy 'steep'; the policies are fixed"
        in done.stderr.splitlines()[-1]
    )


def test_sighup_snapshots_and_trains_on(task):
    solver(task, 10**7, "display: 50")
    line, options = command(
        "train", "--solver", "solver.prototxt", cwd=task, stderr=subprocess.PIPE
    )
    process = subprocess.Popen(line, **options)
    try:
        seen = None
        for row in process.stderr:
            if "Iteration 50 " in row:
                process.send_signal(signal.SIGHUP)
            if "Snapshotting to binary" in row:
                seen = row
            if seen and "Iteration" in row and "loss" in row:
                break
        assert seen
        assert list(task.glob("s_iter_*.solverstate"))
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "Unknown action: fly"),
        (["train"], "Need a solver definition to train"),
        (["train", "-solver", "no.prototxt"], "no.prototxt"),
        (
            ["train", "-solver", "solver.prototxt", "-weights", "w", "-snapshot", "s"],
            "but not both",
        ),
        (["train", "-solver", "solver.prototxt", "-snapshot", "no.solverstate"], "no.solverstate"),
        (["train", "-solver", "solver.prototxt", "-colour", "red"], "colour"),
        (["train", "-solver", "solver.prototxt", "-gpu", "x"], "-gpu takes device numbers"),
        (["time"], "Need a model definition to time"),
        (["time", "-model", "net.prototxt", "-phase", "DREAM"], "phase must be"),
        (["test", "-model", "net.prototxt"], "Need model weights to score"),
        (["test", "-weights", "net.prototxt"], "Need a model definition to score"),
        (["test", "-model", "net.prototxt", "-weights", "net.prototxt"], "net.prototxt"),
    ],
)
def test_a_mistake_is_one_fatal_line_and_status_1(task, monkeypatch, fatal, arguments, message):
    monkeypatch.chdir(task)
    line = fatal(cli.main, *arguments)
    assert LINE.match(line)
    assert message in line


def test_time_names_every_layer(task):
    done = run("time", "--model=net.prototxt", "--iterations=3", cwd=task)
    assert done.returncode == 0
    for name in ("d", "ip", "loss"):
        assert re.search(rf"caffe.cpp:400\] +{name}\tforward: \S+ ms\.", done.stderr)
        assert re.search(rf"caffe.cpp:403\] +{name}\tbackward: \S+ ms\.", done.stderr)
    assert len(re.findall(r"Iteration: \d forward-backward time: \S+ ms\.", done.stderr)) == 3
    assert "Total Time: " in done.stderr
    assert "*** Benchmark ends ***" in done.stderr


def test_an_empty_lmdb_is_refused(task, monkeypatch, fatal):
    environment = lmdb.open(str(task / "empty"), map_size=1 << 20)
    environment.close()
    text = (task / "net.prototxt").read_text()
    (task / "net.prototxt").write_text(text.replace('source: "db"', 'source: "empty"'))
    monkeypatch.chdir(task)
    assert "empty" in fatal(cli.main, "train", "--solver", "solver.prototxt")


def test_a_solver_for_the_gpu_without_a_gpu_warns_and_uses_the_cpu(task, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    solver(task, 2, "solver_mode: GPU")
    done = run("train", "--solver", "solver.prototxt", cwd=task)
    assert done.returncode == 0
    assert re.search(r"^W.*no CUDA device here: THE CPU COMPUTES", done.stderr, re.M)
    assert log_grammar.DEVICE.findall(done.stderr) == [""]


@pytest.mark.parametrize("gpu", ["0", "all", "0,1"])
@pytest.mark.parametrize(
    "command",
    [
        ("train", "-solver", "solver.prototxt"),
        ("test", "-model", "net.prototxt", "-weights", "w.caffemodel"),
        ("time", "-model", "net.prototxt"),
    ],
    ids=lambda words: words[0],
)
def test_an_explicit_gpu_without_a_gpu_is_fatal(task, monkeypatch, fatal, command, gpu):
    """As in BVLC Caffe built without CUDA; a solver_mode: CPU does not change that."""
    solver(task, 2, "solver_mode: CPU")
    monkeypatch.chdir(task)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert f"-gpu {gpu}: PyTorch finds no CUDA device here" in fatal(
        cli.main, *command, "-gpu", gpu
    )


def test_no_arguments_prints_the_usage(task):
    done = run(cwd=task)
    assert done.returncode == 0
    assert "usage: caffe <command> <args>" in done.stdout
