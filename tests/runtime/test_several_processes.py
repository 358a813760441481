"""Several processes train one net: torchrun and `caffe train -gpu 0,1` (here on the CPU)."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist

import caffe
import caffe.cli
from caffe import launch, processes, resume_point, shared_training, snapshot
from caffe.database import Writer
from caffe.proto import caffe_pb2

RECORDS, BATCH, ITERATIONS = 22, 4, 8  # 8 records per iteration: the LMDB is read round and round
RANDOM = "transform_param { crop_size: 4 mirror: true scale: 0.004 }"
NOT_RANDOM = "transform_param { scale: 0.004 }"
ABOVE = """
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param {{ num_output: 7 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "h" top: "h" }}
{between}
layer {{ name: "scores" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "t" top: "loss" }}
"""
DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "h" top: "h" }'
DYING = """
layer { name: "dying" type: "Python" bottom: "h" top: "z" include { phase: TRAIN }
  python_param { module: "dying_for_test" layer: "Dying" } }
layer { name: "silence" type: "Silence" bottom: "z" include { phase: TRAIN } }
"""
# Kills process 1 with SIGKILL in its sixth iteration, once; or sends SIGTERM to all of the group.
PYTHON = """
import os
import signal

import caffe


class Dying(caffe.Layer):
    def setup(self, bottom, top):
        self.passes = 0

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.passes += 1
        if self.passes == 6 and caffe.solver_rank() == 1:
            if os.path.exists("kill"):
                os.remove("kill")
                os.kill(os.getpid(), signal.SIGKILL)
            if os.path.exists("stop"):
                os.remove("stop")
                os.kill(os.getppid(), signal.SIGTERM)

    def backward(self, top, propagate_down, bottom):
        pass
"""


class Job:
    """Trainings of one net, in a folder of their own."""

    def __init__(self, folder, random=True):
        self.folder = folder
        with Writer(folder / "lmdb") as database:
            for i in range(RECORDS):
                datum = caffe_pb2.Datum(channels=3, height=5, width=6, label=i % 4)
                pixels = np.random.default_rng(i).integers(0, 256, (3, 5, 6), dtype=np.uint8)
                datum.data = pixels.tobytes()
                database.put(f"{i:04}", datum)
        (folder / "dying_for_test.py").write_text(PYTHON)
        skip = "rand_skip: 3" if random else ""
        data = "".join(
            f'layer {{ name: "d" type: "Data" top: "x" top: "t" include {{ phase: {phase} }}'
            f" {RANDOM if random else NOT_RANDOM}"
            f' data_param {{ source: "lmdb" backend: LMDB batch_size: {BATCH} {skip} }} }}\n'
            for phase in ("TRAIN", "TEST")
        )
        between = DROPOUT + DYING if random else ""
        (folder / "net.prototxt").write_text(data + ABOVE.format(between=between))

    def solver(self, more=""):
        (self.folder / "solver.prototxt").write_text(
            'net: "net.prototxt" base_lr: 0.1 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed"'
            f' random_seed: 3 max_iter: {ITERATIONS} snapshot_prefix: "s" display: 1'
            f" solver_mode: CPU {more}"
        )

    def run(self, *launcher, flags=(), status=0):
        """Train as this launcher's processes; the log."""
        command = [*launcher, "-m", "caffe.cli", "train", "-solver", "solver.prototxt", *flags]
        path = os.pathsep.join([str(self.folder), os.getcwd()])
        environment = {
            name: value for name, value in os.environ.items() if name not in processes.VARIABLES
        } | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "0"}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == status, done.stderr
        return done.stderr

    def weights(self, iteration=ITERATIONS):
        net = caffe_pb2.NetParameter.FromString(
            (self.folder / f"s_iter_{iteration}.caffemodel").read_bytes()
        )
        return {la.name: [np.array(b.data, np.float32) for b in la.blobs] for la in net.layer}

    def snapshots(self):
        return sorted(int(p.name.split("_")[2].split(".")[0]) for p in self.states())

    def states(self):
        return self.folder.glob("s_iter_*.solverstate")


# what `caffe train -gpu 0,1` runs, with two processes on the CPU
SPAWN = (
    "import sys; from caffe import launch;"
    " sys.exit(launch.start_all([sys.executable, *sys.argv[1:]], 2))"
)
SPAWNED = (sys.executable, "-c", SPAWN)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def losses(log):
    return [float(x) for x in re.findall(r"Iteration \d+ \(.*\), loss = (\S+)", log)]


def equal(one, other):
    return all(
        np.array_equal(a, b) for name in one for a, b in zip(one[name], other[name], strict=True)
    )


def test_two_processes_are_one_with_iter_size_2(tmp_path, capfd, monkeypatch):
    """The same records go into each update.  The losses of the log are the means over all of them;
    one process starts the log, and only once.
    """
    job = Job(tmp_path, random=False)
    tests = "test_iter: 2 test_interval: 4"
    job.solver(f"iter_size: 2 {tests}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "0")
    capfd.readouterr()
    assert caffe.cli.main(["train", "-solver", "solver.prototxt"]) == 0
    log = capfd.readouterr().err
    expected, alone = job.weights(), losses(log)
    for path in tmp_path.glob("s_iter*"):
        path.unlink()
    job.solver(tests)
    log = job.run(*TORCHRUN)
    assert len(losses(log)) == len(re.findall("Solving", log)) * ITERATIONS == ITERATIONS
    np.testing.assert_allclose(losses(log), alone, rtol=1e-5)
    assert len(re.findall(r"Test net output #0: loss", log)) == 3
    found = job.weights()
    for name in ("ip", "scores"):
        for a, b in zip(found[name], expected[name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert job.snapshots() == [ITERATIONS]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The job of two processes, spawned as `-gpu 0,1` spawns them, with its weights."""
    job = Job(tmp_path_factory.mktemp("several"))
    job.solver("snapshot: 4")
    log = job.run(*SPAWNED)
    assert "Training with 2 processes" in log
    assert job.snapshots() == [4, ITERATIONS]
    points = [
        resume_point.read(snapshot.read_solverstate(state).resume_point, "s")
        for state in job.states()
    ]
    for point in points:  # each has drawn numbers of its own
        (other,) = [resume_point.read(data, "s") for data in point.others]
        assert (point.solver, other.solver) == ((2, 0), (2, 1))
        assert not point.cpu_stream.equal(other.cpu_stream)
    weights = job.weights()
    for path in job.folder.glob("s_iter*"):
        path.unlink()
    return job, weights


def test_a_killed_process_ends_the_job_and_torchrun_resumes_it(uninterrupted):
    job, weights = uninterrupted
    for path in job.folder.glob("s_iter*"):
        path.unlink()
    (job.folder / "kill").touch()
    log = job.run(*TORCHRUN, "--max-restarts", "1", flags=["-resume"])
    assert not (job.folder / "kill").exists()
    assert "Found no snapshot" in log
    assert "Resuming from s_iter_4.solverstate" in log
    assert "Data and random streams resume where s_iter_4.solverstate was written" in log
    assert equal(job.weights(), weights)


def test_a_signal_stops_all_with_one_snapshot(uninterrupted):
    job, _ = uninterrupted
    for path in job.folder.glob("s_iter*"):
        path.unlink()
    (job.folder / "stop").touch()
    job.solver()
    log = job.run(*SPAWNED)
    assert len(re.findall("Optimization stopped early", log)) == 1
    (stopped,) = job.snapshots()
    assert 6 <= stopped < ITERATIONS


EXCHANGE = """
import os, sys
import torch
from caffe import CaffeError, mode, processes

processes.join()
rank, count = mode.solver_rank(), mode.solver_count()
try:
    assert (rank, count) == (int(os.environ["RANK"]), 3)
    assert processes.together()
    asked = [("none", "none", "none"), ("none", "stop", "none"), ("snapshot", "none", "none"),
             ("none", "snapshot", "none"), ("snapshot", "none", "stop")]
    agreed = [processes.agreed(each[rank]) for each in asked]
    assert agreed == ["none", "stop", "snapshot", "none", "stop"], agreed
    assert processes.of_root(("root", rank)) == ("root", 0)
    assert processes.gathered(bytes([rank] * rank)) == [b"", bytes([1]), bytes([2, 2])]
    mean = processes.mean(torch.tensor([3.0 * rank, 6.0]))
    assert mean.tolist() == [3, 6], mean
    tensors = [torch.full((2, 2), float(rank + 7)), torch.full((1,), float(rank + 1))]
    processes.take_from_root(tensors)
    assert [t.tolist() for t in tensors] == [[[7, 7], [7, 7]], [1]]
    if rank == 2:
        os._exit(0)  # gone, without a word
    try:
        processes.mean(torch.ones(1))
        sys.exit("no error")
    except CaffeError as error:
        text = str(error)
        start = f"process {rank} of the training stops, because another process ended ("
        assert text.startswith(start), text
        assert "-resume resumes" in text, text
        assert "\\n" not in text
finally:
    processes.leave()
assert not processes.together()
assert (mode.solver_rank(), mode.solver_count()) == (0, 1)
"""


def test_what_three_processes_exchange(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launch.start_all([sys.executable, "-c", EXCHANGE], 3) == 0


@pytest.fixture
def a_group_of_one(tmp_path):
    """This process in a group of its own: everything is exchanged, with nobody."""
    processes.enter(0, 1, f"file://{tmp_path}/group", "here")
    yield
    processes.leave()


@pytest.mark.parametrize(
    ("backends", "words", "status", "ends"),
    [
        ("cpu:gloo,cuda:nccl", ["train", "-solver", "missing.prototxt"], 1, True),
        ("cpu:gloo,cuda:nccl", ["help"], 0, False),
        ("gloo", ["train", "-solver", "missing.prototxt"], 1, False),
    ],
)
def test_a_process_that_fails_does_not_wait_for_nccl(
    a_group_of_one, monkeypatch, capfd, backends, words, status, ends
):
    """NCCL would wait, for ever, for what a dead process does not send."""
    ended = []
    monkeypatch.setattr(dist, "get_backend_config", lambda: backends)
    monkeypatch.setattr(os, "_exit", lambda code: ended.append((code, capfd.readouterr().err)))
    monkeypatch.setattr(sys, "argv", ["caffe", *words])
    assert caffe.cli.main() == status
    assert [code for code, _ in ended] == [1] * ends
    assert all("missing.prototxt" in said for _, said in ended)
    assert not processes.together()
    assert not dist.is_initialized()


def test_an_error_that_nobody_expects_is_shown_before_the_end(a_group_of_one, monkeypatch, capfd):
    ended = []
    monkeypatch.setattr(dist, "get_backend_config", lambda: "cpu:gloo,cuda:nccl")
    monkeypatch.setattr(os, "_exit", lambda code: ended.append((code, capfd.readouterr().err)))
    monkeypatch.setattr(caffe.cli, "train", lambda _: {}["unexpected"])
    monkeypatch.setattr(sys, "argv", ["caffe", "train"])
    with pytest.raises(KeyError):
        caffe.cli.main()
    ((code, said),) = ended
    assert code == 1
    assert "KeyError: 'unexpected'" in said


def test_the_others_wait_for_the_root_before_nccl_begins(
    a_group_of_one, monkeypatch, regression_net
):
    """NCCL gives up where the root comes to its first exchange minutes after the others."""
    (folder := regression_net.parent).joinpath("s.prototxt").write_text(
        f'net: "{regression_net}" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "{folder}/s"'
    )
    solver, order = caffe.get_solver(str(folder / "s.prototxt")), []
    for name in ("of_root", "take_from_root"):
        run = getattr(processes, name)
        monkeypatch.setattr(processes, name, lambda x, n=name, r=run: (order.append(n), r(x))[1])
    shared_training.share_start(solver)
    assert order == ["of_root", "take_from_root", "take_from_root"]


NCCL_ERROR = """NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.28.9
ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.
Last error:
Error while creating shared memory segment /dev/shm/nccl-Ab (size 9637888), error: No space left"""  # noqa: E501


def test_the_reason_that_nccl_gives_is_shown(a_group_of_one, monkeypatch):
    def fails(*_, **__):
        raise dist.DistBackendError(NCCL_ERROR)

    monkeypatch.setattr(dist, "all_reduce", fails)
    with pytest.raises(caffe.CaffeError) as raised:
        processes.mean(torch.ones(1))
    assert str(raised.value).startswith(
        "process 0 of the training stops, because NCCL failed (Error while creating shared memory"
        " segment /dev/shm/nccl-Ab (size 9637888), error: No space left); -resume"
    )


def test_a_restart_ignores_the_signal_that_ended_the_processes_before(monkeypatch):
    """NCCL's watchdogs leave it in torchrun's store, and would obey it for ever."""
    agents = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    agents.set(processes.DUMP, "1")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(agents.port))
    processes.enter(0, 1, "env://", "here")
    try:
        assert not agents.check([processes.DUMP])
    finally:
        processes.leave()


def test_a_process_that_is_lost_at_the_start_is_not_waited_for_as_long_as_a_test(
    tmp_path, monkeypatch
):
    """Process 1 has found the root, and then does not connect to it."""
    monkeypatch.setattr(processes, "START", timedelta(seconds=2))
    monkeypatch.setattr(processes, "TIMEOUT", timedelta(seconds=40))
    path = str(tmp_path / "group")
    store = dist.FileStore(path, 2)
    lost = threading.Thread(target=processes._of_this_start, args=(store, 1, 2))
    lost.start()
    begun = time.monotonic()
    with pytest.raises(caffe.CaffeError, match=r"process 0 .* the processes at here cannot be"):
        processes.enter(0, 2, f"file://{path}", "here")
    lost.join()
    assert time.monotonic() - begun < 20
    assert not processes.together()


def test_the_root_may_test_for_hours(a_group_of_one):
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    assert backend.options._timeout == processes.TIMEOUT > timedelta(hours=1)


TIED = """
layer {{ name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {{
  shape {{ dim: 3 dim: 4 }} shape {{ dim: 3 dim: 4 }}
  data_filler {{ type: "gaussian" }} data_filler {{ type: "gaussian" }} }} }}
layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" param {{ name: "w" }}
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "frozen" type: "InnerProduct" bottom: "a" top: "f" param {{ lr_mult: 0 }}
  param {{ lr_mult: 0 }}
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
{activation}
layer {{ name: "b" type: "InnerProduct" bottom: "f" top: "b" param {{ name: "w" }}
  inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "loss" }}
"""
# Sigmoid's gradient reads the top that Power overwrites: such a net runs blob by blob
ACTIVATIONS = {
    "one graph": 'layer { name: "r" type: "TanH" bottom: "f" top: "f" }',
    "blob by blob": 'layer { name: "r" type: "Sigmoid" bottom: "f" top: "f" }'
    ' layer { name: "q" type: "Power" bottom: "f" top: "f" power_param { scale: 2 } }',
}


@pytest.mark.parametrize("settings", ["", "iter_size: 3", "debug_info: true iter_size: 2"])
@pytest.mark.parametrize("bucket", [1, 30, 1 << 20])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_gradients_of_buckets(
    tmp_path, a_group_of_one, settings, bucket, activation, monkeypatch
):
    """Whatever the size of the buckets, and whichever way the net runs: the weights of a plain
    training.
    """
    (tmp_path / "net.prototxt").write_text(TIED.format(activation=ACTIVATIONS[activation]))
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" max_iter: 4'
        f' weight_decay: 0.1 random_seed: 5 display: 2 {settings} snapshot_prefix: "{tmp_path}/s"'
    )

    def trained():
        solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
        solver.step(4)
        assert (solver.exchange is not None) == processes.together()
        return solver, [p.blob.data.copy() for p in solver.net.learnable]

    monkeypatch.setattr(shared_training, "BUCKET", bucket)
    solver, found = trained()
    assert solver.net.overwrites_needed == (activation == "blob by blob")
    assert len(solver.exchange.buckets) == {1: 3, 30: 2, 1 << 20: 1}[bucket]
    processes.leave()
    _, expected = trained()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_process_that_fails_ends_the_others(tmp_path, capfd):
    """Process 1 fails at once; process 0, which would wait, is ended, and the status is 1's."""
    launch_patience, launch.PATIENCE = launch.PATIENCE, 0.5
    program = "import os, sys, time; os.environ['RANK'] == '1' and sys.exit(3); time.sleep(60)"
    try:
        assert launch.start_all([sys.executable, "-c", program], 2) == 3
        killed = "import os; os.environ['RANK'] == '1' and os.kill(os.getpid(), 9)"
        assert launch.start_all([sys.executable, "-c", killed], 2) == 1
    finally:
        launch.PATIENCE = launch_patience
    assert "Process 1 of the training died of SIGKILL" in capfd.readouterr().err


def test_each_process_gets_its_place_in_the_group(tmp_path, monkeypatch):
    """Also where torchrun has started one process, which starts the others."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    program = (
        "import os; names = ['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR',"
        " 'LOCAL_WORLD_SIZE', 'TORCHELASTIC_USE_AGENT_STORE'];"
        f" open(f'{tmp_path}/' + os.environ['RANK'], 'w').write("
        "' '.join(os.environ[name] for name in names))"
    )
    before = {number: signal.getsignal(number) for number in launch.PASSED_ON}
    assert launch.start_all([sys.executable, "-c", program], 3) == 0
    assert {number: signal.getsignal(number) for number in launch.PASSED_ON} == before
    for rank in range(3):
        assert (tmp_path / str(rank)).read_text() == f"{rank} {rank} 3 127.0.0.1 3 False"


@pytest.mark.parametrize(
    ("chosen", "numbers"), [("", []), ("2", [2]), ("0,1", [0, 1]), ("all", [0])]
)
def test_the_devices_of_gpu(chosen, numbers, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert launch.devices(chosen) == numbers
    assert not launch.needed(chosen)  # without CUDA
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert launch.needed(chosen) == (len(numbers) > 1)


@pytest.mark.parametrize("chosen", ["0,x", "-1", "1,,2", "1,1"])
def test_wrong_devices_are_one_sentence(chosen):
    with pytest.raises(caffe.CaffeError, match=f"-gpu.*{re.escape(chosen)}"):
        launch.devices(chosen)


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    assert [launch.own_device(n) for n in ([], [3], [2, 5])] == [0, 3, 2]
    for name, value in zip(processes.VARIABLES, ("1", "4", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert processes.launched()
    assert not launch.needed("0,1")  # they are there already
    assert [launch.own_device(n) for n in ([], [0], [2, 5])] == [1, 1, 5]
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")  # GPU 1 is that of process 1
    assert [launch.own_device(n) for n in ([], [1], [2, 5])] == [0, 0, 2]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # one process on each of four machines
    assert [launch.own_device(n) for n in ([], [1], [2, 5])] == [0, 1, 2]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(caffe.CaffeError, match="names 2 devices, but this is process 2"):
        launch.own_device([2, 5])
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(caffe.CaffeError, match="RANK must be a number"):
        processes.join()


def test_gpus_that_are_not_there(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(caffe.CaffeError, match="-gpu 0,2: there are devices 0 to 1"):
        launch.train_on("0,2", [])


@pytest.mark.parametrize("shuffle", ["false", "true"])
def test_hdf5_rows_are_shared(tmp_path, net_from, shuffle):
    """Three solvers take turns at the rows of two files, alike on all of them; a layer resumes in
    the middle of a file.
    """
    import h5py

    for name, rows in (("a", range(5)), ("b", range(5, 7))):
        with h5py.File(tmp_path / f"{name}.h5", "w") as f:
            f["x"] = np.array(rows, np.float32)
    (tmp_path / "list").write_text(f"{tmp_path}/a.h5\n{tmp_path}/b.h5\n")
    text = (
        f'layer {{ name: "d" type: "HDF5Data" top: "x" hdf5_data_param {{ source:'
        f' "{tmp_path}/list" batch_size: 7 shuffle: {shuffle} }} }}'
    )
    shares = []
    try:
        caffe.set_solver_count(3)
        for rank in range(3):
            caffe.set_solver_rank(rank)
            caffe.set_random_seed(9 + rank)
            net = net_from(text)
            layer, found, places = net.nodes[0].layer, [], []
            for _ in range(2):
                places.append(layer.position())
                found.append(net.forward()["x"].copy().tolist())
            layer.move_to(places[1])
            assert net.forward()["x"].tolist() == found[1]
            layer.move_to(places[0])
            assert net.forward()["x"].tolist() == found[0]
            shares.append(found[0])
    finally:
        caffe.set_solver_count(1), caffe.set_solver_rank(0)
    if shuffle == "false":
        assert shares[1] == [1, 4, 0, 3, 6, 2, 5]
    in_turn = np.array(shares).T.reshape(3, 7)  # three rounds through the seven rows
    for row in in_turn:
        assert sorted(row) == list(range(7))
