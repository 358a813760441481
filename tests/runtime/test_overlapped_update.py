"""Updates beside backward: the same bits as after it, and the faster of both is kept."""

import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import small_trainings
from graph_emulator import GraphEmulator
from small_trainings import ITERATIONS, NET, SGD, trained

from caffe import fused_update, gradient_parts, overlapped_update
from caffe.captured_iteration import WARM_UP
from caffe.cuda_graph import CallAgain
from caffe.overlapped_update import AFTER, BESIDE, OverlappedUpdate


@pytest.fixture(scope="module")
def lmdb(tmp_path_factory):
    return small_trainings.write_lmdb(tmp_path_factory.mktemp("data") / "lmdb")


@pytest.fixture
def trainings(tmp_path, lmdb, monkeypatch):
    """Trainings in which the weights of conv (162), ip (8 x 54) and y (24) are large."""
    monkeypatch.setattr(gradient_parts, "PART", 20)
    found = small_trainings.Trainings(tmp_path, lmdb)
    yield found
    found.close()
    overlapped_update.choose(None)


SETTINGS = {
    "one kernel": SGD,
    "L1": f'{SGD} regularization_type: "L1"',
    "another rate each time": 'momentum: 0.9 weight_decay: 0.01 lr_policy: "poly" power: 1',
    "Adam": 'type: "Adam" momentum: 0.9 momentum2: 0.99 lr_policy: "fixed" weight_decay: 0.01',
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_weights_are_the_same_to_the_last_bit(trainings, name):
    """Also where what runs beside backward runs as late as it may, or all of it as it comes."""
    ends = []
    recorders = [GraphEmulator(), GraphEmulator(), GraphEmulator(late=True), CallAgain()]
    for way, recorder in zip((AFTER, BESIDE, BESIDE, BESIDE), recorders, strict=True):
        overlapped_update.choose(way)
        solver = trainings.solver(SETTINGS[name], recorder, dropout=0.5)
        ends.append(trained(solver))
        assert solver.not_captured == ""
    for losses, end in ends[1:]:
        assert losses == ends[0][0]
        for a, b in zip(end, ends[0][1], strict=True):
            np.testing.assert_array_equal(a, b)
    # in the three iterations without a graph, and once per graph: for each of three rates, or one
    joins = WARM_UP + (3 if SGD in SETTINGS[name] and "L1" not in SETTINGS[name] else 1)
    assert [recorder.joins for recorder in recorders[:3]] == [0, joins, joins]


def early_of(solver):
    return [(p.owner.name, p.blob.shape) for p in overlapped_update.early(solver)]


def test_what_is_updated_early(trainings):
    """Large weights of one layer, unless all gradients are needed first."""
    large = [("conv", (6, 3, 3, 3)), ("ip", (8, 54)), ("y", (3, 8)), ("t", (3, 147))]
    assert early_of(trainings.solver(SGD)) == large
    assert early_of(trainings.solver(f"{SGD} iter_size: 2")) == []
    assert early_of(trainings.solver(f"{SGD} clip_gradients: 9")) == []
    shared = """layer {{ name: "%s" type: "InnerProduct" bottom: "%s" top: "%s"
      param {{ name: "shared" }} inner_product_param {{ num_output: 8 bias_term: false }} }}"""
    twice = shared % ("a", "h", "a") + shared % ("b", "a", "b")
    net = NET.replace('bottom: "h" top: "y"', 'bottom: "b" top: "y"')
    net = net.replace('layer {{ name: "y"', twice + 'layer {{ name: "y"')
    assert early_of(trainings.solver(SGD, net=net)) == large


def test_small_weights_wait(trainings, monkeypatch):
    monkeypatch.setattr(gradient_parts, "PART", 1 << 20)
    overlapped_update.choose(BESIDE)
    recorder = GraphEmulator()
    solver = trainings.solver(SGD, recorder)
    solver.step(WARM_UP + 2)
    assert solver.captured.overlap.chosen == AFTER
    assert recorder.joins == 0


def test_gradients_are_kept_until_the_updates_are_joined(trainings, monkeypatch):
    """A GPU would give their memory to the layers below, while the update still reads it."""
    overlapped_update.choose(BESIDE)
    given = []
    run_one = fused_update.AllAtOnce.run_one

    def noting(self, i, gradient):
        given.append(weakref.ref(gradient))
        run_one(self, i, gradient)

    class Joins(CallAgain):
        joins = 0

        def join(self):
            self.joins += 1
            assert len(given) == 3  # t is frozen
            assert all(gradient() is not None for gradient in given)
            given.clear()

    monkeypatch.setattr(fused_update.AllAtOnce, "run_one", noting)
    recorder = Joins()
    trainings.solver(SGD, recorder).step(5)
    assert recorder.joins == 5


def test_after_a_failed_capture_the_updates_still_wait_for_their_gradients(trainings):
    """They wait for the stream on which iterations are prepared and captured, so they run there."""
    overlapped_update.choose(BESIDE)

    class Fails(CallAgain):
        preparing, waited = False, 0

        @contextmanager
        def warm_up(self):
            self.preparing = True
            yield
            self.preparing = False

        def record(self, function):
            raise RuntimeError("no memory for a graph")

        @contextmanager
        def beside(self):
            assert self.preparing
            self.waited += 1
            yield

    recorder = Fails()
    solver = trainings.solver(SGD, recorder)
    solver.step(WARM_UP + 2)
    assert "no memory for a graph" in solver.not_captured
    assert recorder.waited == 3 * (WARM_UP + 1)  # t is frozen


class Lapses(GraphEmulator):
    """The way that is recorded first takes 2 ms, the other one `second` seconds; both are known
    when `done`.
    """

    def __init__(self, second):
        super().__init__()
        self.took, self.done, self.turns = [0.002, second], False, 0

    def timed(self, function):
        function()
        took = self.took[self.turns % 2]
        self.turns += 1
        return lambda: took if self.done else None


@pytest.mark.parametrize(("second", "kept"), [(0.001, BESIDE), (0.003, AFTER)])
def test_both_ways_are_timed_and_the_faster_one_is_kept(
    trainings, monkeypatch, capfd, second, kept
):
    """The graph of the update after backward is recorded, and timed, first."""
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setattr(overlapped_update, "TRIES", 2)
    settings = SGD.replace("multistep", "fixed")
    overlapped_update.choose(AFTER)
    losses, end = trained(trainings.solver(settings, GraphEmulator()))
    overlapped_update.choose(None)
    recorder = Lapses(second)
    solver = trainings.solver(settings, recorder)
    found = []

    def step(count):
        for _ in range(count):
            solver.step(1)
            found.append(float(solver.training_log.losses[-1]))

    step(WARM_UP + 2 + 4)
    overlap = solver.captured.overlap
    assert recorder.captures == 2
    assert recorder.turns == 4
    assert overlap.chosen is None
    assert "Update of" not in capfd.readouterr().err
    recorder.done = True
    step(1)
    assert overlap.chosen == kept
    assert overlap.seconds == {AFTER: 0.002, BESIDE: second}
    times = f"after backward 2.00 ms, beside backward {1000 * second:.2f} ms"
    assert f"Update of conv, ip, y, t {kept} ({times})" in capfd.readouterr().err
    joins = recorder.joins
    step(ITERATIONS - len(found))
    assert recorder.turns == 4  # no more are timed
    assert recorder.joins == joins  # and none is captured
    assert found == losses
    for a, b in zip(small_trainings.state(solver), end, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_choice_outlives_a_new_capture(trainings, monkeypatch):
    monkeypatch.setattr(overlapped_update, "TRIES", 1)
    recorder = Lapses(0.001)
    recorder.done = True
    solver = trainings.solver(SGD.replace("stepvalue: 5 stepvalue: 9", "stepvalue: 9"), recorder)
    solver.step(9)
    chosen, captures = solver.captured.overlap.chosen, recorder.captures
    assert chosen in (AFTER, BESIDE)
    solver.step(2)  # the rate drops
    assert recorder.captures == captures + 1
    assert solver.captured.overlap.chosen == chosen


def test_one_way_can_be_asked_for(trainings):
    solver = trainings.solver(SGD)
    for way in (AFTER, BESIDE):
        overlapped_update.choose(way)
        overlap = OverlappedUpdate(solver)
        assert {overlap.next() for _ in range(3)} == {way}
    overlapped_update.choose(None)
    overlap = OverlappedUpdate(solver)
    assert [overlap.next() for _ in range(4)] == [BESIDE, AFTER, BESIDE, AFTER]
