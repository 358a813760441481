"""Running a solver's test nets (Caffe: Solver::TestAll)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe import log, mode, processes, shared_training
from caffe.signals import NONE, SNAPSHOT, STOP

if TYPE_CHECKING:
    from caffe.pycaffe import Net
    from caffe.solver import Solver


def run(solver: Solver) -> None:
    """Run every test net for its test_iter batches, and log the mean of each output.

    A request to stop ends it early.  Of several processes the root tests, and the others wait.
    """
    shared_training.gather_points(solver)
    for i, net in enumerate(solver.test_nets if mode.root_solver() else []):
        if not solver.stopped_early:
            _test(solver, i, net, solver.param.test_iter[i])
    solver.stopped_early = bool(processes.of_root(solver.stopped_early))


def _test(solver: Solver, index: int, net: Net, iterations: int) -> None:
    log.info("solver.cpp:347", f"Iteration {solver.iter}, Testing net (#{index})")
    net.share_trained_layers(solver.net)
    sums, loss = None, 0.0
    for _ in range(iterations):
        _answer_requests(solver)
        if solver.stopped_early:
            log.info("solver.cpp:396", "Test interrupted.")
            return
        if solver.param.debug_info:
            net.debug_info = True
            loss += net.run_layers(0, len(net.nodes) - 1)
        else:
            loss += net.forward_backward(backward=False)
        outputs = [blob.tensor().double() for blob in net.output_blobs]
        sums = outputs if sums is None else [a + b for a, b in zip(sums, outputs, strict=True)]
    net.check_indices()
    if solver.param.test_compute_loss:
        log.info("solver.cpp:399", f"Test loss: {log.number(float(loss) / iterations)}")
    solver.training_log.test(solver.iter, index, net, [s / iterations for s in sums or []])


def _answer_requests(solver: Solver) -> None:
    """Between two test batches: snapshot at once, note a request to stop."""
    while (request := solver.request()) != NONE:
        if request == SNAPSHOT:
            solver.write_snapshot()
        elif request == STOP:
            solver.stopped_early = True
