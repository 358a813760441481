"""When a captured iteration updates its largest weights: after backward, or beside it.

Backward begins at the top of the net.  In CaffeNet, the gradients of fc6 and fc7, which hold 96 %
of the weights, are complete while most of its arithmetic is still to come.  Their update, which
only moves memory, can run beside that arithmetic.  It changes no number.  Whether it is faster
depends on the GPU, so real iterations of both kinds are timed, and the faster kind is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe import gradient_parts, log

if TYPE_CHECKING:
    from caffe.cuda_graph import Lapse
    from caffe.node import Parameter
    from caffe.solver import Solver

AFTER, BESIDE = "after backward", "beside backward"
TRIES = 10  # iterations of each kind that are timed
_state: dict[str, str | None] = {"way": None}


def choose(way: str | None) -> None:
    """Take this way in iterations that are captured from now on; None: the faster one.

    Parameters
    ----------
    way : {'after backward', 'beside backward'} or None
    """
    _state["way"] = way


def early(solver: Solver) -> dict[Parameter, int]:
    """{parameter: its position} of those that may be updated while backward still runs.

    It is empty if all gradients are needed first: to clip them, or to add those of several passes.
    """
    p, net = solver.param, solver.net
    if p.iter_size > 1 or p.clip_gradients >= 0:
        return {}
    return {
        parameter: i
        for i, parameter in enumerate(net.learnable)
        if gradient_parts.used_early(net, parameter)
    }


class OverlappedUpdate:
    """The two ways of one solver, and which of them is the faster.

    Parameters
    ----------
    solver : Solver

    Attributes
    ----------
    early : dict
        As from `early`.
    chosen : str or None
        The way that is taken; None while both are timed.
    seconds : dict
        {way: the least seconds of an iteration}, once both have been timed.
    """

    def __init__(self, solver: Solver) -> None:
        self.early = early(solver)
        self.chosen = _state["way"] if self.early else AFTER
        self.seconds: dict[str, float] = {}
        self._names = ", ".join(parameter.owner.name for parameter in self.early)
        self._running: list[tuple[str, Lapse]] = []
        self._turn = AFTER

    def next(self) -> str:
        """The way of the next iteration; while both are timed, they take turns."""
        if self.chosen is None:
            self._choose()
        self._turn = BESIDE if self._turn == AFTER else AFTER
        return self.chosen or self._turn

    def note(self, way: str, lapse: Lapse) -> None:
        """Take in the time of an iteration, which the device may still have to run."""
        self._running.append((way, lapse))

    def _choose(self) -> None:
        """Choose, as soon as enough iterations have been timed; this does not wait for them."""
        if len(self._running) < 2 * TRIES:
            return
        done = [(way, lapse()) for way, lapse in self._running]
        if any(seconds is None for _, seconds in done):
            return
        for way, seconds in done:
            self.seconds[way] = min(seconds, self.seconds.get(way, seconds))
        self.chosen = min(self.seconds, key=self.seconds.__getitem__)
        listed = ", ".join(f"{way} {1000 * s:.2f} ms" for way, s in self.seconds.items())
        log.info("solver.cpp:219", f"Update of {self._names} {self.chosen} ({listed})")
