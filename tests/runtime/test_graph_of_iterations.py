"""Captured iterations equal eager ones; a CPU plays the CUDA graph (graph_emulator.py).

Weights and losses may differ in the last bits, because the update of all parameters at once rounds
a product and a sum together.
"""

import itertools
import re

import numpy as np
import pytest
import small_trainings
import torch
from graph_emulator import GraphEmulator
from small_trainings import DATA, ITERATIONS, NET, SGD, assert_equal, state, trained

from caffe import captured_iteration, captured_source, record_cache
from caffe.blob import Blob
from caffe.captured_iteration import WARM_UP
from caffe.cuda_graph import CallAgain
from caffe.layers.accuracy import Accuracy
from caffe.update_rule import Updater

RULE_SETTINGS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9 delta: 1e-6",
    "Adam": "momentum: 0.9 momentum2: 0.99",
}


@pytest.fixture(scope="module")
def lmdb(tmp_path_factory):
    return small_trainings.write_lmdb(tmp_path_factory.mktemp("data") / "lmdb")


@pytest.fixture
def trainings(tmp_path, lmdb):
    found = small_trainings.Trainings(tmp_path, lmdb)
    yield found
    found.close()


CASES = {
    "two drops of the rate": SGD,
    "three passes": f"{SGD} iter_size: 3",
    "clipping": f"{SGD} clip_gradients: 0.05",
    "clipping of three passes": f"{SGD} iter_size: 3 clip_gradients: 0.2",
    "L1": f'{SGD} regularization_type: "L1"',
    "no momentum": 'momentum: 0 lr_policy: "fixed" weight_decay: 0.01',
    "a rate of 0": 'momentum: 0.9 lr_policy: "multistep" gamma: 0 stepvalue: 6',
    "another rate each time": 'momentum: 0.9 lr_policy: "poly" power: 1',
}
CASES |= {
    kind: f'type: "{kind}" {more} lr_policy: "inv" gamma: 0.1 power: 0.75 weight_decay: 0.01'
    for kind, more in RULE_SETTINGS.items()
}


@pytest.mark.parametrize("name", CASES)
def test_a_graph_computes_what_the_eager_path_computes(trainings, name):
    emulator, rtol = GraphEmulator(), 2e-5
    if name in ("AdaGrad", "RMSProp", "AdaDelta", "Adam"):
        rtol = 2e-3  # they divide by square roots of gradients, which nearly cancel in places
    eager = trained(trainings.solver(CASES[name]))
    captured = trained(trainings.solver(CASES[name], emulator))
    assert_equal(captured, eager, rtol)
    assert emulator.replays >= ITERATIONS - WARM_UP
    assert len(set(eager[0])) == ITERATIONS  # the losses do change


class Plain:
    """update_rule.py behind the interface of fused_update.py."""

    def __init__(self, solver):
        self.solver = solver

    def set_rate(self, rate, iteration):
        self.rate, self.iteration = rate, iteration
        return ()

    def run(self, gradients, done=()):
        for i, gradient in enumerate(gradients):
            if i not in done:
                self.run_one(i, gradient)

    def run_one(self, i, gradient):
        parameter = self.solver.net.learnable[i]
        self.solver.updater.update(parameter, gradient, self.rate, self.iteration)

    def log_clipping(self):
        """The updater has logged it."""


@pytest.mark.parametrize("settings", [SGD, f"{SGD} iter_size: 3"])
def test_with_the_plain_update_the_numbers_are_the_same_to_the_last_bit(trainings, settings):
    eager = trained(trainings.solver(settings))
    solver = trainings.solver(settings, CallAgain())
    solver.captured = captured_iteration.CapturedIteration(solver, solver.recorder)
    solver.captured.update = Plain(solver)
    captured = trained(solver)
    assert captured[0] == eager[0]
    for a, b in zip(captured[1], eager[1], strict=True):
        np.testing.assert_array_equal(a, b)


DISPLAYED = f"{SGD} display: 2 average_loss: 3 snapshot: 4 test_iter: 2 test_interval: 5"


def log_lines(text):
    """The lines with numbers, without speeds; numbers with 4 digits."""
    found = []
    for line in text.splitlines():
        line = re.sub(r" \(\S+ iter/s, \S+ iters\)", "", line.partition("] ")[2])
        if re.match(r"Iteration \d+, (loss|lr|Testing)|    T(rain|est) net", line):
            found.append(re.sub(r"= ([\d.e-]+)", lambda m: f"= {float(m[1]):.4g}", line))
    return found


def solved(solver, capfd):
    capfd.readouterr()
    solver.solve()
    solver.close()
    return log_lines(capfd.readouterr().err), state(solver)


def test_displays_tests_and_snapshots_see_what_they_see_without_a_graph(
    trainings, capfd, monkeypatch
):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    eager_lines, eager = solved(trainings.solver(DISPLAYED), capfd)
    lines, captured = solved(trainings.solver(DISPLAYED, GraphEmulator()), capfd)
    assert lines == eager_lines
    assert len([line for line in lines if line.startswith("    Train")]) == ITERATIONS // 2
    assert len([line for line in lines if line.startswith("    Test")]) == 3  # before 0, 5, 10
    assert_equal(([], captured), ([], eager))


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_a_snapshot_resumes_with_or_without_a_graph(trainings, first, second):
    def recorder(wanted):
        return GraphEmulator() if wanted else None

    whole = trained(trainings.solver(f"{SGD} average_loss: 4"))
    solver = trainings.solver(f"{SGD} average_loss: 4", recorder(first))
    solver.step(7)
    _, name = solver.snapshot()
    solver.close()
    resumed = trainings.solver(f"{SGD} average_loss: 4", recorder(second))
    resumed.restore(name)
    resumed.step(3)
    # the average is over iterations from before and after the snapshot
    losses = [float(loss) for loss in resumed.training_log.losses]
    np.testing.assert_allclose(losses, whole[0][6:10], rtol=2e-5)
    losses, end = trained(resumed, 2)
    assert_equal((losses, end), (whole[0][10:], whole[1]))


@pytest.mark.parametrize(("dropout", "different"), [(0, 1), (0.5, 8)])
def test_masks_change_from_replay_to_replay(trainings, dropout, different):
    """With fixed weights, and the same ten images in each batch, only masks change the loss."""
    data = DATA.replace("mirror: true", "").replace("crop_size: 7", "crop_size: 9")
    emulator = GraphEmulator()
    solver = trainings.solver(
        'momentum: 0.9 lr_policy: "fixed"', emulator, dropout, data.replace("size: 4", "size: 10")
    )
    for parameter in solver.net.learnable:
        parameter.lr_mult = 0
    solver.updater = Updater(solver.param, solver.updater.rule, solver.net.learnable)
    losses, _ = trained(solver, 8)
    assert len(set(losses)) == different
    assert emulator.captures == 1


def test_a_graph_is_captured_again_when_its_rate_or_an_address_changes(trainings):
    emulator = GraphEmulator()
    solver = trainings.solver(SGD, emulator)
    solver.step(5)
    assert emulator.captures == 1
    solver.step(4)  # the rate drops after iteration 5
    assert emulator.captures == 2
    blob = solver.net.learnable[0].blob
    blob.share_data(copied(blob))
    solver.step(1)  # the rate drops again after iteration 9, so once for both
    assert emulator.captures == 3
    blob.share_data(copied(blob))
    solver.step(1)
    assert emulator.captures == 4
    solver.close()
    assert emulator.replays == 11 - WARM_UP


def copied(blob):
    """A blob of its own with the same numbers."""
    other = Blob(blob.shape)
    other.tensor().copy_(blob.tensor())
    other.keep_memory()
    return other


def test_another_rate_in_each_iteration_needs_one_graph(trainings):
    emulator = GraphEmulator()
    trained(trainings.solver(CASES["another rate each time"], emulator))
    assert emulator.captures == 1


@pytest.mark.parametrize("passes", [1, 3])
def test_records_on_the_device_are_read_inside_the_graph(trainings, monkeypatch, passes):
    monkeypatch.setattr(captured_source, "AHEAD", 4)
    settings = f"{SGD} iter_size: {passes}"
    eager = trained(trainings.solver(settings))
    emulator = GraphEmulator()
    solver = trainings.solver(settings, emulator)
    layer = solver.net.nodes[0].layer
    record_cache.keep([layer], torch.device("cpu"))
    assert_equal(trained(solver), eager)
    assert layer.device_records.drawn == 4
    # for each of the three rates one graph, or one of a pass and one of the update
    assert emulator.captures == (3 if passes == 1 else 6)


def test_cached_records_resume_and_alternate_with_other_passes(trainings, monkeypatch):
    """A snapshot knows how many of the rows that were drawn ahead have been taken."""
    monkeypatch.setattr(captured_source, "AHEAD", 5)
    losses, end = trained(trainings.solver(SGD))

    def cached():
        solver = trainings.solver(SGD, GraphEmulator())
        record_cache.keep([solver.net.nodes[0].layer], torch.device("cpu"))
        return solver

    solver = cached()
    solver.step(7)
    _, name = solver.snapshot()
    loss = float(solver.net.forward_backward(backward=False))  # takes the batch of iteration 7
    assert loss == pytest.approx(losses[7], rel=2e-5)
    solver.step(1)  # with the batch of iteration 8
    resumed = cached()
    resumed.restore(name)
    assert_equal(trained(resumed, ITERATIONS - 7), (losses[7:], end))
    other = trainings.solver(SGD)
    other.restore(name)
    other.net.forward_backward(backward=False)
    other.step(1)
    assert_equal(([], state(solver)), ([], state(other)))


def why_not(solver):
    solver.step(WARM_UP + 2)
    solver.close()
    assert not solver.recorder.captures
    return solver.not_captured


def test_what_cannot_be_captured_runs_eagerly_and_the_log_says_why(trainings, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    kept = trainings.solver(SGD, GraphEmulator())
    kept.net.keep_blobs = True
    assert "keep_blobs" in why_not(kept)
    assert "snapshot_diff" in why_not(
        trainings.solver(f"{SGD} snapshot_diff: true", GraphEmulator())
    )
    assert "debug_info" in why_not(trainings.solver(f"{SGD} debug_info: true", GraphEmulator()))
    called = trainings.solver(SGD, GraphEmulator())
    called.add_callback(lambda: None)
    assert "called back" in why_not(called)
    net = NET + 'layer {{ name: "a" type: "Accuracy" bottom: "y" bottom: "l" top: "a" }}'
    net = net.replace('top: "x"', 'top: "x" top: "l"')
    monkeypatch.setattr(Accuracy, "capturable", False)
    capfd.readouterr()
    assert "layer 'a' (Accuracy)" in why_not(trainings.solver(SGD, GraphEmulator(), net=net))
    lines = [line for line in capfd.readouterr().err.splitlines() if "Iterations run" in line]
    assert len(lines) == 1
    assert lines[0].endswith(
        "Iterations run without a CUDA graph: layer 'a' (Accuracy) cannot be part of a CUDA graph"
    )


def test_a_capture_that_fails_ends_in_the_eager_path_without_losing_an_iteration(trainings):
    eager = trained(trainings.solver(SGD))
    solver = trainings.solver(SGD, GraphEmulator())
    relu = next(node.layer for node in solver.net.nodes if node.name == "relu2")
    forward = relu.forward
    relu.forward = lambda x: forward(x) * float(x.detach().max() > -1)
    captured = trained(solver)
    assert_equal(captured, eager)
    assert "_local_scalar_dense" in solver.not_captured
    assert not solver.recorder.replays


def test_batches_of_changing_shapes_run_without_a_graph(trainings):
    solver = trainings.solver(SGD, GraphEmulator())
    layer, eager = solver.net.nodes[0].layer, trainings.solver(SGD)
    for each in (layer, eager.net.nodes[0].layer):
        narrow(each)
    captured, expected = trained(solver), trained(eager)
    assert_equal(captured, expected)
    assert solver.not_captured == "the batches change their shape"


def narrow(layer):
    """Let a Data layer of 4 images give 4, 3, 4, 3, ... of them."""
    forward, sizes = layer.forward, itertools.cycle((4, 3))
    layer.forward = lambda: [top[: next(sizes)] for top in forward()]
