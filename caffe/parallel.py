"""pycaffe's NCCL and Timer, as python/train.py uses them.

Training runs in one process; several GPUs are not supported.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from caffe import log, mode
from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.solver import Solver


def has_nccl() -> bool:
    """Whether several GPUs can train together: never."""
    return False


class NCCL:
    """The exchange of weights and gradients between solvers; one solver has nothing to exchange.

    Parameters
    ----------
    solver : Solver
    uid : bytes
        The session's name; not used.

    Raises
    ------
    CaffeError
        `caffe.set_solver_count` has announced more than one solver.
    """

    def __init__(self, solver: Solver, uid: bytes = b"") -> None:  # noqa: ARG002  pycaffe's
        if mode.solver_count() > 1:
            raise CaffeError(
                f"training with {mode.solver_count()} GPUs is not supported; give one GPU"
            )
        self.solver = solver

    @staticmethod
    def new_uid() -> bytes:
        """A name for a session."""
        return b"one process"

    def bcast(self) -> None:
        """Send the root solver's weights to the others."""

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
