"""Signals during training: SIGINT and SIGHUP stop it, take a snapshot or do nothing; SIGTERM stops.

The flags `-sigint_effect` and `-sighup_effect` choose what the first two do.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

STOP, SNAPSHOT, NONE = "stop", "snapshot", "none"
EFFECTS = (SNAPSHOT, STOP, NONE)


class Signals:
    """Turns signals into requests, which the solver reads after each iteration and each test batch.

    A scheduler that ends a job sends SIGTERM first.  It stops the training as Ctrl-C does, with a
    snapshot.

    Parameters
    ----------
    sigint_effect, sighup_effect : {'snapshot', 'stop', 'none'}
    """

    def __init__(self, sigint_effect: str, sighup_effect: str) -> None:
        self.effects = {
            signal.SIGHUP: sighup_effect,
            signal.SIGTERM: STOP,
            signal.SIGINT: sigint_effect,
        }
        self.received: set[int] = set()

    def __enter__(self) -> Signals:
        self._before = {number: signal.signal(number, self._receive) for number in self.effects}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.received.add(number)

    def __call__(self) -> str:
        """Return and forget the effect of one received signal, SIGHUP's first, or 'none'."""
        for number, effect in self.effects.items():
            if number in self.received:
                self.received.remove(number)
                return effect
        return NONE
