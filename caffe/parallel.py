"""pycaffe's NCCL and Timer, as python/train.py uses them.  Training runs in one process; several
GPUs are not supported.
"""

import time

from caffe import log, mode
from caffe.error import CaffeError


def has_nccl() -> bool:
    """Whether several GPUs can train together: never."""
    return False


class NCCL:
    """The exchange of weights and gradients between solvers: with one solver there is nothing to
    exchange.

    Parameters
    ----------
    solver : Solver
    uid : bytes
        Of the session; any will do.

    Raises
    ------
    CaffeError
        `caffe.set_solver_count` has announced more than one solver.
    """

    def __init__(self, solver, uid=b""):
        if mode.solver_count() > 1:
            raise CaffeError(
                f"training with {mode.solver_count()} GPUs is not supported; give one GPU"
            )
        self.solver = solver

    @staticmethod
    def new_uid() -> bytes:
        """A name for a session."""
        return b"one process"

    def bcast(self):
        """Send the root solver's weights to the others."""

    def on_start(self):
        """Called before each iteration, as a solver's callback."""

    def on_gradients_ready(self):
        """Called before each update, as a solver's callback."""

    def __call__(self, layer: int):
        """Called after each layer's backward, as a net's callback."""


class Timer:
    """A stop watch, BVLC's Timer: `start()`, `stop()`, and the milliseconds between them in `ms`."""

    def __init__(self):
        self._started = None
        self._seconds = None

    def start(self):
        """Start, unless it runs."""
        if self._started is None:
            self._started = time.perf_counter()

    def stop(self):
        """Stop, if it runs."""
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
