"""Threads in place of processes, for compiled code that does not need Python's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from texttopicnet import parallel


class Threads:
    """Threads of this process, used as `parallel.executor`'s results are.

    They start at once, and nothing is copied to them or back.
    """

    def __init__(self, count: int) -> None:
        self.size = count
        self._pool = ThreadPoolExecutor(count)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        return self._pool.submit(function, *arguments)

    def result(self, future: Future) -> Any:
        return future.result()


def in_place_of(
    executor: parallel.Executor,
) -> contextlib.AbstractContextManager[parallel.Executor | Threads]:
    """As many threads in place of processes of this machine, which are idle meanwhile; any other
    executor itself.
    """
    if isinstance(executor, parallel.Processes):
        return Threads(executor.size)
    return contextlib.nullcontext(executor)
