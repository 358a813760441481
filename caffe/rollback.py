"""A training that has diverged goes back to a snapshot, with a lower learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caffe import log, mode, resume
from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.health import Diverged
    from caffe.solver import Solver

PLACE = "solver.cpp:296"


class Rollback:
    """Takes a diverged solver back to a snapshot that this training has written or resumed from.

    Weights, history, data positions and random streams become those of the snapshot, so the same
    records come again in the same order; only the rate differs.  It is multiplied by `factor` each
    time, and later snapshots hold that.  If the training diverges again before its next snapshot,
    it goes back to the snapshot before: weights may be beyond rescue long before they are NaN.

    Parameters
    ----------
    factor : float
        Above 0 and below 1.
    most : int
        After this many rollbacks the training ends, as it does without them.

    Attributes
    ----------
    iterations : list of int
        Where the training has diverged so far.
    """

    def __init__(self, factor: float = 0.1, most: int = 3) -> None:
        if mode.solver_count() > 1:
            raise CaffeError(
                "a rollback works only in one process; one of these"
                f" {mode.solver_count()} solvers may diverge before the others"
            )
        if not 0 < factor < 1:
            raise CaffeError(f"a rollback's factor must be above 0 and below 1, not {factor:g}")
        self.factor, self.most = factor, most
        self.iterations: list[int] = []
        self._states: list[str] = []  # in the order of their iterations
        self._from: str | None = None  # where the last rollback went

    def note(self, state: str) -> None:
        """Remember a .solverstate that was written, or restored from."""
        if state in self._states:
            self._states.remove(state)
        self._states.append(state)

    def go_back(self, solver: Solver, error: Diverged) -> None:
        """Restore a snapshot and lower the rate.

        Raises
        ------
        CaffeError
            No snapshot is left to go back to, or this was done `most` times before.
        """
        self.iterations.append(solver.iter)
        if len(self.iterations) > self.most:
            raise CaffeError(f"{error}; {self._history()}") from error
        state = self._choose()
        if state is None:
            raise CaffeError(
                f"{error}; this training has no snapshot to go back to: set snapshot in the solver"
            ) from error
        log.warning(PLACE, error.what)
        scale = solver.updater.scale * self.factor
        solver.restore(state)
        solver.updater.scale, self._from = scale, state
        log.warning(
            PLACE,
            f"Rollback {len(self.iterations)} of at most {self.most}: back to iteration"
            f" {solver.iter} ({state}), with {log.number(scale)} times the solver's learning rate",
        )
        solver.training_log.start(solver.iter)

    def _choose(self) -> str | None:
        """The newest good state, and forget later ones.

        The state of the last rollback is taken again only if there is no other.
        """
        order = self._states[::-1]
        if order and order[0] == self._from:
            order.append(order.pop(0))
        for state in order:
            try:
                resume.check(state)
            except CaffeError:  # removed by -keep, or damaged
                continue
            del self._states[self._states.index(state) + 1 :]
            return state
        return None

    def _history(self) -> str:
        places = ", ".join(map(str, self.iterations))
        text = f"the training was rolled back {self.most} times (it diverged at iterations {places}"
        if len(set(self.iterations)) == 1:
            return f"{text}: look at the records of that iteration rather than at the rate)"
        return f"{text})"
