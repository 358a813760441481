"""CUDA graphs of iterations against iterations without a graph, on a GPU.

tests/runtime/test_graph_of_iterations.py has the same comparisons with a CPU in the GPU's place.
"""

import numpy as np
import pytest
import small_trainings
import tested_device
import torch
from small_trainings import DATA, ITERATIONS, SGD, assert_equal, state, trained

import caffe
from caffe import captured_iteration, gradient_parts, overlapped_update, record_cache
from caffe.captured_iteration import WARM_UP
from caffe.update_rule import Updater

pytestmark = tested_device.on_a_gpu
CLOSE = 1e-5  # cuDNN may choose another algorithm for a graph than without one


@pytest.fixture(scope="module")
def lmdb(tmp_path_factory):
    return small_trainings.write_lmdb(tmp_path_factory.mktemp("data") / "lmdb")


class Trainings(small_trainings.Trainings):
    """Trainings on the GPU, or on the CPU."""

    def solver(self, settings, graph=True, gpu=True, **more):
        (caffe.set_mode_gpu if gpu else caffe.set_mode_cpu)()
        try:
            solver = super().solver(settings, **more)
        finally:
            caffe.set_mode_cpu()
        assert solver.net.device.type == ("cuda" if gpu else "cpu")
        if not graph:
            solver.recorder = None
        return solver


@pytest.fixture
def trainings(tmp_path, lmdb):
    found = Trainings(tmp_path, lmdb)
    yield found
    found.close()


def replayed(solver):
    """Whether a graph has been captured and nothing has gone wrong."""
    return solver.not_captured == "" and not solver.captured.trouble and solver.captured.recorded


@pytest.mark.parametrize(
    "settings",
    [
        SGD,
        f"{SGD} iter_size: 3",
        f"{SGD} clip_gradients: 0.05",
        f"{SGD} iter_size: 3 clip_gradients: 0.2",
        f'{SGD} regularization_type: "L1"',
        'momentum: 0.9 weight_decay: 0.01 lr_policy: "poly" power: 1',
        'type: "Nesterov" momentum: 0.9 lr_policy: "fixed"',
        'type: "Adam" momentum: 0.9 momentum2: 0.99 lr_policy: "fixed"',
    ],
)
def test_a_graph_computes_what_the_eager_path_computes(trainings, settings):
    eager = trained(trainings.solver(settings, graph=False))
    solver = trainings.solver(settings)
    solver.step(WARM_UP + 1)
    assert replayed(solver)
    solver.close()
    captured = trained(trainings.solver(settings))
    assert_equal(captured, eager, 2e-3 if "Adam" in settings else CLOSE)


@pytest.mark.parametrize("way", [overlapped_update.AFTER, overlapped_update.BESIDE])
@pytest.mark.parametrize("settings", [SGD, 'type: "Adam" momentum: 0.9 momentum2: 0.99'])
def test_updates_beside_backward_are_the_same(trainings, monkeypatch, settings, way):
    """Here the weights of every layer count as large."""
    monkeypatch.setattr(gradient_parts, "PART", 20)
    settings = settings if settings == SGD else f'{settings} lr_policy: "fixed"'
    eager = trained(trainings.solver(settings, graph=False))
    overlapped_update.choose(way)
    try:
        found = trained(trainings.solver(settings))
    finally:
        overlapped_update.choose(None)
    assert_equal(found, eager, 2e-3 if "Adam" in settings else CLOSE)


def test_both_ways_to_update_are_timed_and_one_is_kept(trainings, monkeypatch):
    monkeypatch.setattr(gradient_parts, "PART", 20)
    monkeypatch.setattr(overlapped_update, "TRIES", 2)
    solver = trainings.solver(SGD.replace("multistep", "fixed"))
    solver.step(WARM_UP + 2 + 4)
    torch.cuda.synchronize()
    solver.step(1)
    overlap = solver.captured.overlap
    assert replayed(solver)
    assert all(0 < seconds < 1 for seconds in overlap.seconds.values())
    assert overlap.chosen == min(overlap.seconds, key=overlap.seconds.get)
    solver.close()


def test_three_replays_equal_three_eager_steps(trainings, monkeypatch):
    """The strictest comparison: three steps from the same weights, history and records."""
    monkeypatch.setattr(captured_iteration, "WARM_UP", 0)  # the first solver prepares the libraries
    solver = trainings.solver(SGD)
    solver.step(WARM_UP + 1)
    _, name = solver.snapshot()
    solver.close()
    ends = []
    for graph in (False, True):
        resumed = trainings.solver(SGD, graph)
        resumed.restore(name)
        ends.append(trained(resumed, 3))
    assert_equal(ends[1], ends[0], 1e-6)


@pytest.mark.parametrize("passes", [1, 3])
def test_records_on_the_gpu_are_read_inside_the_graph(trainings, passes):
    settings = f"{SGD} iter_size: {passes}"
    eager = trained(trainings.solver(settings, graph=False))
    solver = trainings.solver(settings)
    record_cache.cache([solver.net], "gpu")
    assert_equal(trained(solver), eager, CLOSE)


@pytest.mark.parametrize(("dropout", "different"), [(0, 1), (0.5, 8)])
def test_masks_change_from_replay_to_replay(trainings, dropout, different):
    """With fixed weights, and the same ten images in each batch, only masks change the loss."""
    data = DATA.replace("mirror: true", "").replace("crop_size: 7", "crop_size: 9")
    data = data.replace("size: 4", "size: 10")
    solver = trainings.solver('momentum: 0.9 lr_policy: "fixed"', dropout=dropout, data=data)
    for parameter in solver.net.learnable:
        parameter.lr_mult = 0
    solver.updater = Updater(solver.param, solver.updater.rule, solver.net.learnable)
    losses, _ = trained(solver, 8)
    assert len({round(loss, 5) for loss in losses}) == different


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_a_snapshot_resumes_on_the_other_device(trainings, first, second):
    whole = trained(trainings.solver(SGD, gpu=False))
    solver = trainings.solver(SGD, gpu=first)
    solver.step(7)
    _, name = solver.snapshot()
    solver.close()
    resumed = trainings.solver(SGD, gpu=second)
    resumed.restore(name)
    assert_equal(trained(resumed, ITERATIONS - 7), (whole[0][7:], whole[1]), 1e-3)


def test_the_cpu_and_the_gpu_train_the_same_net(trainings):
    cpu = trained(trainings.solver(SGD, gpu=False))
    assert_equal(trained(trainings.solver(SGD)), cpu, 1e-3)


def test_no_iteration_but_displays_waits_for_the_gpu(trainings, gpu):
    solver = trainings.solver(SGD.replace("multistep", "fixed") + " display: 50")
    record_cache.cache([solver.net], "gpu")
    solver.step(WARM_UP + 1)  # captures
    with tested_device.no_waits(gpu):
        solver.step(5)
    assert np.isfinite(state(solver)[0]).all()
    solver.close()


@pytest.mark.parametrize("name", ["tf32", "bf16"])
def test_faster_precisions_train_almost_the_same_net(trainings, name):
    exact = trained(trainings.solver(SGD))
    caffe.set_precision(name)
    try:
        found = trained(trainings.solver(SGD))
    except caffe.CaffeError as error:
        pytest.skip(str(error))
    finally:
        caffe.set_precision("fp32")
    np.testing.assert_allclose(found[0], exact[0], rtol=0.05)
    assert {array.dtype for array in found[1]} == {np.dtype(np.float32)}


def test_a_net_without_a_graph_trains_on(trainings, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    solver = trainings.solver(f"{SGD} debug_info: true")
    solver.step(WARM_UP + 2)
    assert "debug_info" in solver.not_captured
    assert "Iterations run without a CUDA graph: debug_info is on" in capfd.readouterr().err
    solver.close()
