"""pycaffe's solver and module functions as BVLC's python/train.py uses them."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import caffe
from caffe import processes
from caffe.database import Writer
from caffe.proto import caffe_pb2


@pytest.fixture
def solver_file(regression_net, tmp_path):
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net: "{regression_net}" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 4'
        f" display: 2"
        f' random_seed: 1 snapshot_prefix: "{tmp_path}/s" momentum: 0.9'
    )
    return str(path)


@pytest.fixture(autouse=True)
def one_solver():
    yield
    caffe.set_solver_count(1), caffe.set_solver_rank(0)


def test_the_state_of_several_solvers():
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    caffe.set_solver_count(3), caffe.set_solver_rank(2), caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank()) == (3, 2)
    for refused in (lambda: caffe.set_solver_count(0), lambda: caffe.set_solver_rank(-1)):
        with pytest.raises(caffe.CaffeError):
            refused()


def test_processes_without_a_gpu_meet_by_gloo_where_torch_has_nccl(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    processes.enter(0, 1, f"file://{tmp_path / 'meeting'}", "here")
    try:
        assert torch.distributed.get_backend() == "gloo"
    finally:
        processes.leave()


def test_as_train_py_does(solver_file):
    """The steps of BVLC's python/train.py, in its order, give what a plain training gives."""
    assert caffe.__version__ == "1.0.0"
    assert caffe.has_nccl() is torch.cuda.is_available()
    uid = caffe.NCCL.new_uid()
    caffe.set_solver_count(1), caffe.set_solver_rank(0), caffe.set_multiprocess(True)
    solver = caffe.SGDSolver(solver_file)
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    called = []
    total, allreduce = caffe.Timer(), caffe.Timer()
    solver.add_callback(lambda: total.start(), lambda: (total.stop(), allreduce.start()))
    solver.add_callback(nccl)
    solver.add_callback(lambda: "", lambda: (allreduce.stop(), called.append(solver.iter)))
    assert solver.param.layer_wise_reduce
    assert solver.param.display == 2
    nccl(0)  # as a net's callback
    solver.step(solver.param.max_iter)
    assert called == [0, 1, 2, 3]
    assert total.ms > 0
    assert allreduce.ms >= 0
    plain = caffe.SGDSolver(solver_file)
    plain.step(4)
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, plain.net.params["ip"][0].data)


TRAIN = """
import multiprocessing
import sys

import numpy as np

import caffe

caffe.init_log(2)


def solve(proto, count, uid, rank):
    caffe.set_mode_cpu()
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver(proto)
    start = solver.net.params["ip"][0].data.copy()
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    assert np.array_equal(start, solver.net.params["ip"][0].data) == (rank == 0)
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    np.save(f"{proto}.{rank}.npy", solver.net.params["ip"][0].data)


if __name__ == "__main__":
    uid = caffe.NCCL.new_uid()
    started = [
        multiprocessing.Process(target=solve, args=(sys.argv[1], 2, uid, rank), daemon=True)
        for rank in range(2)
    ]
    [p.start() for p in started], [p.join() for p in started]
    sys.exit(max(p.exitcode for p in started))
"""


def test_two_processes_as_train_py_starts_them(solver_file, tmp_path):
    """Both end with the weights of a plain training, because both read the same constants."""
    (tmp_path / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [sys.executable, tmp_path / "train.py", solver_file],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()},
        timeout=300,
    )
    assert done.returncode == 0
    plain = caffe.SGDSolver(solver_file)
    plain.step(4)
    for rank in range(2):
        found = np.load(f"{solver_file}.{rank}.npy")
        np.testing.assert_allclose(found, plain.net.params["ip"][0].data, rtol=1e-6)


def test_the_timer(monkeypatch, capfd):
    now = iter([10, 10.25, 20, 22])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    timer = caffe.Timer()
    assert timer.ms == 0
    assert "Timer has never been run" in capfd.readouterr().err
    timer.start(), timer.start(), timer.stop(), timer.stop()
    assert timer.ms == 250
    timer.start()
    assert timer.ms == 2000  # reading stops it


def test_lr_is_the_rate_of_the_next_update(solver_file):
    solver = caffe.SGDSolver(solver_file)
    rates = []
    for _ in range(4):
        rates.append(solver.lr)
        solver.step(1)
    np.testing.assert_array_equal(rates, np.float32([0.1, 0.1, 0.05, 0.05]))


def test_apply_update_by_hand_counts_the_iteration(solver_file):
    """pycaffe's own loop of forward, backward and apply_update, which counts, equals step."""
    by_hand, stepped = caffe.SGDSolver(solver_file), caffe.SGDSolver(solver_file)
    for i in range(3):
        by_hand.net.clear_param_diffs()
        by_hand.net.forward()
        by_hand.net.backward()
        by_hand.apply_update()
        assert by_hand.iter == i + 1
    stepped.step(3)
    np.testing.assert_allclose(
        by_hand.net.params["ip"][0].data, stepped.net.params["ip"][0].data, rtol=1e-6
    )


def test_share_weights(solver_file, tmp_path):
    solver = caffe.SGDSolver(solver_file)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    solver.share_weights(net)
    solver.step(1)
    np.testing.assert_array_equal(net.params["ip"][0].data, solver.net.params["ip"][0].data)


@pytest.mark.parametrize(
    ("phase", "rank", "expected"),
    [("TRAIN", 0, [0, 2, 4, 1]), ("TRAIN", 1, [1, 3, 0, 2]), ("TEST", 1, [0, 1, 2, 3])],
)
def test_solvers_take_turns_at_the_records(tmp_path, net_from, phase, rank, expected):
    """Five records are read over and over; solvers 0 and 1 take them in turn."""
    with Writer(tmp_path / "db") as writer:
        for i in range(5):
            writer.put(str(i), caffe_pb2.Datum(channels=1, height=1, width=1, data=b"x", label=i))
    caffe.set_solver_count(2), caffe.set_solver_rank(rank)
    net = net_from(
        f'layer {{ name: "d" type: "Data" top: "x" top: "t"'
        f' data_param {{ source: "{tmp_path}/db" batch_size: 4'
        " backend: LMDB } }",
        getattr(caffe, phase),
    )
    net.forward()
    assert net.blobs["t"].data.tolist() == expected
    net.close()
