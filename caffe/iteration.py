"""One iteration of a solver, in one of four ways.

A GPU repeats it as a captured graph.  Otherwise each weight is updated as soon as its gradient is
computed, or all gradients are computed first, or they are also averaged over several processes
first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from caffe import captured_iteration, gradient_parts, log, processes, shared_training
from caffe.captured_iteration import CapturedIteration

if TYPE_CHECKING:
    from caffe.node import Parameter
    from caffe.solver import Solver


def captured(solver: Solver) -> CapturedIteration | None:
    """The captured iteration of a solver, made when it is first needed; None if there is none.

    The log says which way the training takes, and why, when that changes.
    """
    if solver.recorder is None:
        return None
    why = captured_iteration.obstacle(solver)
    if why != solver.not_captured:
        solver.not_captured = why
        way = f"run without a CUDA graph: {why}" if why else "run as a CUDA graph"
        log.info("solver.cpp:219", f"Iterations {way}")
    if why:
        return None
    if solver.captured is None:
        solver.captured = CapturedIteration(solver, solver.recorder)
    return solver.captured


def updates_at_once(solver: Solver) -> bool:
    """Whether each weight is updated as soon as its gradient, then forgotten, is there.

    That keeps the largest gradient out of memory while the layers below are computed.  It is not
    done where the diffs may be looked at (pycaffe, callbacks, snapshot_diff, debug_info) or where
    all of them are needed first (clipping, iter_size, several processes).
    """
    p, net = solver.param, solver.net
    looked_at = net.keep_blobs or solver.has_callbacks or p.snapshot_diff or p.debug_info
    at_once = p.iter_size == 1 and p.clip_gradients < 0 and not processes.together()
    return at_once and not looked_at


def update_at_once(solver: Solver, rate: float) -> torch.Tensor:
    """Run forward, and backward with the updates; return the loss (0-d, not synchronised).

    On a GPU the updates wait for the last gradient, because all together take fewer kernels.
    """
    if solver.updater.at_once is not None:
        return _update_together(solver, rate)
    waiting = dict.fromkeys(solver.net.learnable)

    def update(parameter: Parameter, grad: torch.Tensor, first: int = 0) -> None:
        waiting.pop(parameter, None)
        solver.updater.update(parameter, grad, rate, solver.iter, first=first)

    with gradient_parts.used_at_once(solver.net, update):
        loss = solver.net.forward_backward(gradient_ready=update)
    for parameter in waiting:  # parameters that no gradient reaches still decay
        grad = torch.zeros_like(parameter.blob.tensor())
        solver.updater.update(parameter, grad, rate, solver.iter)
    return loss


def _update_together(solver: Solver, rate: float) -> torch.Tensor:
    found: dict[Parameter, torch.Tensor] = {}
    loss = solver.net.forward_backward(gradient_ready=found.__setitem__)
    gradients = [
        found[parameter] if parameter in found else torch.zeros_like(parameter.blob.tensor())
        for parameter in solver.net.learnable
    ]
    solver.updater.at_once.set_rate(rate, solver.iter)
    solver.updater.at_once.run(gradients)
    return loss


def gradients(solver: Solver) -> torch.Tensor:
    """Run iter_size passes; return the mean loss (0-d, not synchronised)."""
    displays = solver.training_log.displays(solver.iter)
    debug = solver.param.debug_info and displays
    if processes.together():
        loss = shared_training.gradients_of(solver).compute(solver.param.iter_size, debug)
        if displays:
            shared_training.average_outputs(solver.net)
        return loss
    run = solver.net.debug_forward_backward if debug else solver.net.forward_backward
    losses = [run() for _ in range(solver.param.iter_size)]
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()
