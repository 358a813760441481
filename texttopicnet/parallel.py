"""Work in several processes or on a Dask cluster, streamed: results in order, never more of them
waiting than a few.
"""

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
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from texttopicnet.errors import UserError

AHEAD = 3  # items a process that are under way or wait to be fetched
# seconds that a scheduler may take to answer, and after which it is asked whether workers are left
PATIENCE = 5

_setup = ()  # in a worker process: what every call gets first


@functools.cache
def _semaphore_error():
    """Why this machine gives no semaphores, which processes need to talk to each other; '' if it
    does.
    """
    try:
        multiprocessing.get_context().Semaphore(1)
    except (
        OSError,
        ImportError,
        NotImplementedError,
    ) as error:  # /dev/shm is missing, full or not writable
        return str(error)
    return ""


def usable(workers):
    """`workers`, or 1, with a line on stderr, where this machine cannot run several processes that
    talk to each other.
    """
    if workers > 1 and _semaphore_error():
        print(
            f"no semaphores ({_semaphore_error()}; is /dev/shm writable?): working in one process",
            file=sys.stderr,
        )
        return 1
    return workers


@contextlib.contextmanager
def executor(workers, scheduler=None):
    """Where work is done: for `ordered_map`, and for callers that submit by hand.

    Parameters
    ----------
    workers : int
        Processes on this machine; 1 works in this process, and so does any number where processes
        cannot be had (`usable`).
    scheduler : str, optional
        Address of a Dask scheduler ("tcp://host:8786"): its workers do the work.  It and they need
        this project installed, but no file of this machine.

    Yields
    ------
    Here, Processes or Cluster
        ``submit(function, *arguments)`` gives a future, ``result(future)`` waits for its value;
        `size` is how many calls run at once, 0 if `submit` itself is the call.

    Raises
    ------
    UserError
        The scheduler does not answer, or has no workers; a process was killed.
    """
    if scheduler:
        with Cluster(scheduler) as cluster:
            yield cluster
    elif usable(workers) > 1:
        with Processes(workers) as processes:
            yield processes
    else:
        yield Here()


def ordered_map(function, items, workers, *setup, executor=None):
    """``function(*setup, item)`` of every item, in their order.

    Memory does not grow with the number of items, which may be an endless generator.

    Parameters
    ----------
    function : callable
        Of a module, not a lambda: processes get it by name.
    items : iterable
    workers : int
        Processes that are started for these items; 1 works in this process.
    *setup : object
        Sent to each of these processes once, but to an `executor` with every item.
    executor : what `executor` yields, optional
        Works instead of `workers` processes.

    Raises
    ------
    UserError
        A process was killed, or the cluster lost.
    """
    if executor is not None:
        yield from _ordered(executor, functools.partial(function, *setup), items)
    elif usable(workers) > 1:
        with Processes(workers, *setup) as processes:
            yield from _ordered(processes, functools.partial(_call, function), items)
    else:
        yield from _ordered(Here(), functools.partial(function, *setup), items)


def _ordered(executor, function, items):
    waiting = collections.deque()
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

    def submit(self, function, *arguments):
        return function(*arguments)

    def result(self, future):
        return future


class Processes:
    """Processes on this machine."""

    def __init__(self, workers, *setup):
        self.size = workers
        self._pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=setup)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pool.shutdown(cancel_futures=True)

    def submit(self, function, *arguments):
        with self._report_killed():
            return self._pool.submit(function, *arguments)

    def result(self, future):
        with self._report_killed():
            return future.result()

    @contextlib.contextmanager
    def _report_killed(self):
        try:
            yield
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed (by hand, or for want of memory): start again, with fewer --workers if need be"
            ) from error


def _begin(*setup):
    global _setup
    _setup = setup
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's business
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()


def _end_with(parent):
    """A main process that is killed stops no worker: they would wait for work for ever."""
    parent.join()
    os._exit(1)


def _call(function, item):
    return function(*_setup, item)


def _answer():
    """Runs wherever this module is installed."""


class Cluster:
    """The workers of a Dask scheduler: what a killed one had done and not delivered, another does
    again.
    """

    def __init__(self, address):
        import distributed  # takes most of a second

        self._dask, self.address, self._threads = distributed, address, 0
        for name in (
            "distributed.core",
            "distributed.client",
            "distributed.batched",
            "distributed.comm",
        ):
            logging.getLogger(name).setLevel(
                logging.CRITICAL
            )  # what matters is reported here, in a sentence
        try:
            distributed.comm.get_address_host_port(address)
            self._client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except Exception as error:  # no answer, no address, or the answer of something else
            raise UserError(
                f"no Dask scheduler answers at {address}: start one with dask scheduler, and give the address that it prints"
            ) from error
        if not self._ask():
            self.__exit__()
            raise UserError(
                f"the Dask scheduler at {address} has no workers: start some with dask worker {address} --nthreads 1"
            )
        try:
            self._client.run_on_scheduler(_answer)
            self._client.run(_answer)
        except Exception as error:  # Dask makes a plain one of the workers'
            self.__exit__()
            raise UserError(
                f"the Dask scheduler at {address} or a worker lacks this project ({error}): install it where they run"
            ) from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.close(timeout=PATIENCE)

    def _ask(self):
        had = self._threads
        with self._report_trouble():
            self._threads = sum(self._client.nthreads().values())
        self._asked = time.monotonic()
        if had and not self._threads:
            print(
                f"no Dask worker is left at {self.address}: waiting for a new one", file=sys.stderr
            )
        return self._threads

    @property
    def size(self):
        """Threads of the workers that are there now."""
        if time.monotonic() - self._asked > PATIENCE:
            self._ask()
        return max(self._threads, 1)

    def submit(self, function, *arguments):
        with self._report_trouble(), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Sending large graph"
            )  # a megabyte a call is meant
            return self._client.submit(function, *arguments, pure=False)

    def result(self, future):
        while True:
            try:
                with self._report_trouble():
                    return future.result(timeout=PATIENCE)
            except self._dask.TimeoutError:
                if future.status == "error":  # the function's own
                    raise
                self._ask()

    @contextlib.contextmanager
    def _report_trouble(self):
        try:
            yield
        except self._dask.scheduler.KilledWorker as error:
            raise UserError(
                "the same piece of work killed several Dask workers (for want of memory?): start them with more"
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
