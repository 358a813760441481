"""Several processes that train on GPUs exchange their gradients by NCCL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small_trainings
import tested_device
import torch
import torch.distributed as dist

from caffe import processes
from caffe.proto import caffe_pb2

pytestmark = tested_device.real
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")

NET = """
layer {{ name: "data" type: "Data" top: "x" top: "label"
  data_param {{ source: "{lmdb}" backend: LMDB batch_size: 4 }}
  transform_param {{ scale: 0.01 mean_value: 100 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param {{ num_output: 16 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "h" top: "h" }}
layer {{ name: "y" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }}
"""
SOLVER = """net: "net.prototxt" base_lr: 0.05 momentum: 0.9 weight_decay: 0.01 lr_policy: "fixed"
random_seed: 3 display: 1 snapshot_prefix: "s" solver_mode: GPU max_iter: {last} {more}
"""


def test_one_process_by_nccl(tmp_path):
    """A group of one exchanges everything with nobody, which changes no number."""
    trainings = small_trainings.Trainings(tmp_path, small_trainings.write_lmdb(tmp_path / "lmdb"))
    alone = trainings.solver(small_trainings.SGD)
    alone.recorder = None
    expected = small_trainings.trained(alone)
    processes.enter(0, 1, f"file://{tmp_path}/group", "here")
    try:
        backend = dist.group.WORLD._get_backend(torch.device("cuda"))
        assert isinstance(backend, dist.ProcessGroupNCCL)
        solver = trainings.solver(small_trainings.SGD)
        found = small_trainings.trained(solver)
        assert solver.exchange is not None
    finally:
        processes.leave()
        trainings.close()
    small_trainings.assert_equal(found, expected, rtol=1e-4)


def start(folder, last, more, *flags):
    """`caffe train` in a process of its own, of which the log is a file."""
    lmdb = folder / "lmdb"
    if not lmdb.exists():
        small_trainings.write_lmdb(lmdb)
    (folder / "net.prototxt").write_text(NET.format(lmdb=lmdb))
    (folder / "solver.prototxt").write_text(SOLVER.format(last=last, more=more))
    command = [sys.executable, "-m", "caffe.cli", "train", "-solver", "solver.prototxt", *flags]
    path = os.pathsep.join([os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "GLOG_minloglevel": "0"}
    with open(folder / "log", "w", encoding="utf-8") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stderr=log)


def weights(folder, last):
    net = caffe_pb2.NetParameter.FromString((folder / f"s_iter_{last}.caffemodel").read_bytes())
    return [np.array(blob.data, np.float32) for layer in net.layer for blob in layer.blobs]


@two_gpus
def test_two_gpus_are_one_with_iter_size_2(tmp_path):
    assert start(tmp_path, 20, "iter_size: 2", "-gpu", "0").wait(timeout=300) == 0
    expected = weights(tmp_path, 20)
    assert start(tmp_path, 20, "", "-gpu", "0,1").wait(timeout=300) == 0
    for a, b in zip(weights(tmp_path, 20), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@two_gpus
def test_a_killed_process_ends_the_job_soon(tmp_path):
    """What the other one waits for on its GPU does not hold it up."""
    job = start(tmp_path, 10**9, "snapshot: 100", "-gpu", "0,1")
    end = time.monotonic() + 200
    while not list(tmp_path.glob("s_iter_*.solverstate")):
        assert job.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < end
        time.sleep(0.2)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text(encoding="ascii")
    os.kill(int(children.split()[1]), signal.SIGKILL)
    assert job.wait(timeout=30) == 1
    assert "died of SIGKILL" in (tmp_path / "log").read_text()
