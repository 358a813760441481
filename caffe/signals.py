"""What signals ask of a training: SIGINT and SIGHUP as `-sigint_effect` and `-sighup_effect` say,
SIGTERM to stop.
"""

import signal

STOP, SNAPSHOT, NONE = "stop", "snapshot", "none"
EFFECTS = (SNAPSHOT, STOP, NONE)


class Signals:
    """Turns signals into requests, which the solver reads after each iteration and each test batch.

    A scheduler that ends a job sends SIGTERM first: it stops the training as Ctrl-C does, with a
    snapshot.

    Parameters
    ----------
    sigint_effect, sighup_effect : {'snapshot', 'stop', 'none'}
    """

    def __init__(self, sigint_effect: str, sighup_effect: str):
        self.effects = {
            signal.SIGHUP: sighup_effect,
            signal.SIGTERM: STOP,
            signal.SIGINT: sigint_effect,
        }
        self.received = set()

    def __enter__(self):
        self._before = {number: signal.signal(number, self._receive) for number in self.effects}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number, _):
        self.received.add(number)

    def __call__(self) -> str:
        """The effect of one signal that has come in, SIGHUP's first; 'none' if there is none left."""
        for number, effect in self.effects.items():
            if number in self.received:
                self.received.remove(number)
                return effect
        return NONE
