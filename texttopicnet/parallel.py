"""Work in several processes or on a Dask cluster, streamed: results come in order, and only a few
are held at a time.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from texttopicnet import cores
from texttopicnet.errors import UserError

AHEAD = 3  # items per process that are in progress or waiting to be fetched
PATIENCE = 5  # seconds to wait for a scheduler's answer, and between two questions for its workers
Item = TypeVar("Item")

_setup = ()  # in a worker process: the first arguments of every call


@functools.cache
def _semaphore_error() -> str:
    """Why this machine has no semaphores, which processes need to communicate; '' if it has."""
    try:
        multiprocessing.get_context().Semaphore(1)
    except (OSError, ImportError, NotImplementedError) as error:
        return str(error)  # /dev/shm is missing, full or not writable
    return ""


def usable(workers: int) -> int:
    """`workers`, but at most one per core; 1, with a line on stderr, if processes cannot
    communicate on this machine.
    """
    if workers > 1 and _semaphore_error():
        print(
            f"no semaphores ({_semaphore_error()}; is /dev/shm writable?): working in one process",
            file=sys.stderr,
        )
        return 1
    return cores.processes(workers)


@contextlib.contextmanager
def executor(workers: int, scheduler: str | None = None) -> Iterator[Executor]:
    """The place where work is done, for `ordered_map` and for callers that submit by hand.

    Parameters
    ----------
    workers : int
        Processes on this machine, at most one per core; 1 works in this process, and so does any
        number if processes are not available (`usable`).
    scheduler : str, optional
        Address of a Dask scheduler ("tcp://host:8786") whose workers do the work.  This project
        must be installed where they run; they need no files of this machine.

    Yields
    ------
    Here, Processes or Cluster
        ``submit(function, *arguments)`` returns a future, ``result(future)`` waits for its value;
        `size` is the number of calls that run at once, 0 if `submit` itself makes the call.

    Raises
    ------
    UserError
        The scheduler does not answer, or has no workers; a process was killed.
    """
    if scheduler:
        with Cluster(scheduler) as cluster:
            yield cluster
    elif (count := usable(workers)) > 1:
        with Processes(count) as processes:
            yield processes
    else:
        yield Here()


def ordered_map(
    function: Callable[..., Any],
    items: Iterable[Any],
    workers: int,
    *setup: Any,
    executor: Executor | None = None,
) -> Iterator[Any]:
    """``function(*setup, item)`` of every item, in the order of the items.

    Memory does not grow with the number of items, which may be an endless generator.

    Parameters
    ----------
    function : callable
        A module's function, not a lambda, because processes import it by name.
    items : iterable
    workers : int
        Processes that are started for these items, at most one per core; 1 works in this process.
    *setup : object
        Sent to each of these processes once; an `executor` gets them with every item.
    executor : what `executor` yields, optional
        Works instead of `workers` processes.

    Raises
    ------
    UserError
        A process was killed, or the connection to the cluster was lost.
    """
    if executor is not None:
        yield from _ordered(executor, functools.partial(function, *setup), items)
    elif (count := usable(workers)) > 1:
        with Processes(count, *setup) as processes:
            yield from _ordered(processes, functools.partial(_call, function), items)
    else:
        yield from _ordered(Here(), functools.partial(function, *setup), items)


def _ordered(
    executor: Executor, function: Callable[..., Any], items: Iterable[Any]
) -> Iterator[Any]:
    waiting: collections.deque[Any] = collections.deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            while len(waiting) > AHEAD * executor.size:
                yield executor.result(waiting.popleft())
        while waiting:
            yield executor.result(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()


class Here:
    """This process."""

    size = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def result(self, future: Any) -> Any:
        return future


class Processes:
    """Processes on this machine."""

    def __init__(self, workers: int, *setup: Any) -> None:
        self.size = workers
        self._setup = setup
        self._opencv = cores.one_opencv_thread()

    def __enter__(self) -> Processes:
        self._opencv.__enter__()
        arguments = (self.size, *self._setup)
        self._pool = ProcessPoolExecutor(self.size, initializer=_begin, initargs=arguments)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._pool.shutdown(cancel_futures=True)
        finally:
            self._opencv.__exit__(None, None, None)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        with self._report_killed():
            return self._pool.submit(function, *arguments)

    def result(self, future: Future) -> Any:
        with self._report_killed():
            return future.result()

    @contextlib.contextmanager
    def _report_killed(self) -> Iterator[None]:
        try:
            yield
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed (by hand, or because memory ran out): start again, if"
                " necessary with fewer --workers"
            ) from error


def _begin(workers: int, *setup: Any) -> None:
    global _setup
    _setup = setup
    cores.share(workers)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    """End this worker when the main process ends; otherwise it would wait for work forever."""
    parent.join()
    os._exit(1)


def _call(function: Callable[..., Any], item: Any) -> Any:
    return function(*_setup, item)


def _answer() -> None:
    """Does nothing, but can only be called where this module is installed."""


class Cluster:
    """The workers of a Dask scheduler.  Work lost with a killed worker is rerun by another one."""

    def __init__(self, address: str) -> None:
        import distributed  # takes most of a second

        self._dask, self.address, self._threads = distributed, address, 0
        for name in (
            "distributed.core",
            "distributed.client",
            "distributed.batched",
            "distributed.comm",
        ):
            # this class reports in one sentence what matters
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            distributed.comm.get_address_host_port(address)
            self._client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except Exception as error:  # no answer, not an address, or not a scheduler's answer
            raise UserError(
                f"no Dask scheduler answers at {address}: start one with dask scheduler, and give"
                " the address that it prints"
            ) from error
        if not self._ask():
            self.__exit__()
            raise UserError(
                f"the Dask scheduler at {address} has no workers: start some with dask worker"
                f" {address} --nthreads 1"
            )
        try:
            self._client.run_on_scheduler(_answer)
            self._client.run(_answer)
        except Exception as error:  # Dask turns the workers' error into a plain Exception
            self.__exit__()
            raise UserError(
                f"the Dask scheduler at {address} or a worker lacks this project ({error}): install"
                " it where they run"
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close(timeout=PATIENCE)

    def _ask(self) -> int:
        """Ask the scheduler for its workers' threads; returns how many there are."""
        had = self._threads
        with self._report_error():
            self._threads = sum(self._client.nthreads().values())
        self._asked = time.monotonic()
        if had and not self._threads:
            print(
                f"no Dask worker is left at {self.address}: waiting for a new one", file=sys.stderr
            )
        return self._threads

    @property
    def size(self) -> int:
        """Threads of the current workers."""
        if time.monotonic() - self._asked > PATIENCE:
            self._ask()
        return max(self._threads, 1)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self._report_error(), warnings.catch_warnings():
            # a megabyte per call is intended
            warnings.filterwarnings("ignore", message="Sending large graph")
            return self._client.submit(function, *arguments, pure=False)

    def result(self, future: Any) -> Any:
        while True:
            try:
                with self._report_error():
                    return future.result(timeout=PATIENCE)
            except self._dask.TimeoutError:
                if future.status == "error":  # the function itself raised it
                    raise
                self._ask()

    @contextlib.contextmanager
    def _report_error(self) -> Iterator[None]:
        try:
            yield
        except self._dask.scheduler.KilledWorker as error:
            raise UserError(
                "the same piece of work killed several Dask workers (out of memory?): start them"
                " with more memory"
            ) from error
        except ModuleNotFoundError as error:
            raise UserError(f"a Dask worker lacks a module ({error}): install it there") from error
        except (
            CancelledError,
            self._dask.comm.CommClosedError,
            self._dask.client.ClosedClientError,
        ) as error:
            raise UserError(
                f"the Dask scheduler at {self.address} was lost: start it and its workers again"
            ) from error


Executor = Here | Processes | Cluster


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; the last one may be shorter."""
    group: list[Item] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
