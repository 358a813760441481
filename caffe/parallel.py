"""pycaffe's NCCL and Timer, as python/train.py uses them."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from typing import TYPE_CHECKING

from caffe import log, mode, processes, shared_training

if TYPE_CHECKING:
    from caffe.solver import Solver


class NCCL:
    """The exchange of weights and gradients between solvers, one per process of this machine.

    The processes that `caffe.set_solver_count` announces meet here.  From then on the solver itself
    adds up the gradients, so the callbacks, which BVLC's scripts hand to solver and net, do
    nothing.  With one solver there is nothing to exchange.  Without GPUs, Gloo takes NCCL's part.

    Parameters
    ----------
    solver : Solver
    uid : bytes
        The session's name, from `new_uid`; the same in every process.

    Raises
    ------
    CaffeError
        The other processes cannot be reached.
    """

    def __init__(self, solver: Solver, uid: bytes = b"") -> None:
        self.solver = solver
        if mode.solver_count() > 1 and not processes.together():
            path = os.fsdecode(uid)
            processes.enter(mode.solver_rank(), mode.solver_count(), f"file://{path}", path)

    @staticmethod
    def new_uid() -> bytes:
        """A name for a session: a file by which its processes find each other."""
        return os.fsencode(os.path.join(tempfile.gettempdir(), f"caffe_{uuid.uuid4().hex}"))

    def bcast(self) -> None:
        """Send the root solver's weights, history and iteration to the others."""
        shared_training.share_start(self.solver)

    def on_start(self) -> None:
        """Called before each iteration, as a solver's callback."""

    def on_gradients_ready(self) -> None:
        """Called before each update, as a solver's callback."""

    def __call__(self, layer: int) -> None:
        """Called after each layer's backward, as a net's callback."""


class Timer:
    """BVLC's Timer, a stopwatch: `start()`, `stop()`, and in `ms` the milliseconds between them."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._seconds: float | None = None

    def start(self) -> None:
        """Start, unless it is running."""
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop, if it is running."""
        if self._started is not None:
            self._seconds = time.perf_counter() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds between the last start and stop; reading stops a running timer."""
        self.stop()
        if self._seconds is None:
            log.warning("benchmark.cpp:79", "Timer has never been run before reading time.")
            return 0.0
        return 1000 * self._seconds
