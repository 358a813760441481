"""Sharing the items of a batch among threads, so that a slow one holds up no other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from caffe import cores, processes

BESIDE_CPU, BESIDE_GPU = 4, 16  # the most threads of a reader: on a GPU the cores are free for it


def threads(most: int) -> int:
    """How many threads to use: this process's share of the cores, up to `most`."""
    return max(1, min(cores.usable() // processes.on_this_machine(), most))


def share(pool: Executor, workers: int, count: int, work: Callable[[int], None]) -> None:
    """Call ``work(0)``, ..., ``work(count - 1)`` in the pool; return when all are done.

    Each worker takes the next number when it is done with one.

    Parameters
    ----------
    pool : Executor
        With at least `workers` threads.
    workers, count : int
    work : callable

    Raises
    ------
    BaseException
        What the call with the lowest number raised; then the numbers after it may be left out.
    """
    numbers = iter(range(count))
    failed: dict[int, BaseException] = {}

    def run() -> None:
        for number in numbers:  # next() of a range is one step: no number is taken twice
            if failed:
                return
            try:
                work(number)
            except BaseException as error:  # raised by the caller's thread
                failed[number] = error

    for future in [pool.submit(run) for _ in range(min(workers, count))]:
        future.result()
    if failed:
        raise failed[min(failed)]
