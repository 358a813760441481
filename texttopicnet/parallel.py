"""Work in several processes, streamed: results in order, and never more of them waiting than a few."""

import collections
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from texttopicnet import artefacts

AHEAD = 3  # items a process that are under way or wait to be fetched

_setup = ()  # in a worker process: what every call gets first


def _begin(*setup):
    global _setup
    _setup = setup
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's business


def _call(function, item):
    return function(*_setup, item)


def ordered_map(function, items, workers, *setup):
    """``function(*setup, item)`` of every item, in their order, by `workers` processes; 1 works in this process.

    Memory does not grow with the number of items, which may be an endless generator.

    Parameters
    ----------
    function : callable
        Of a module, not a lambda: processes get it by name.
    items : iterable
    workers : int
    *setup : object
        Sent to each process once, not with every item.

    Raises
    ------
    UserError
        A process was killed.
    """
    if workers <= 1:
        for item in items:
            yield function(*setup, item)
        return
    waiting = collections.deque()
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=setup) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(_call, function, item))
                if len(waiting) > AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise artefacts.UserError(
                "a worker process was killed (by hand, or for want of memory): start again, with fewer --workers if need be"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def in_groups(items, size):
    """Lists of `size` items, the last one shorter."""
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
