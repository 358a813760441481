"""Work in several processes: in order, streamed, and a dead process is reported."""

import itertools
import multiprocessing
import multiprocessing.synchronize
import os
import signal

import pytest

from texttopicnet import parallel
from texttopicnet.errors import UserError


def scaled(factor, offset, x):
    return factor * x + offset


def fail_at_three(x):
    if x == 3:
        raise UserError("three")
    return x


def die(x):
    os.kill(os.getpid(), signal.SIGKILL)


def name_of_process(x):
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_in_the_order_of_the_items(workers):
    assert list(parallel.ordered_map(scaled, range(40), workers, 10, 1)) == [
        10 * x + 1 for x in range(40)
    ]
    assert list(parallel.ordered_map(scaled, [], workers, 10, 1)) == []


def test_one_worker_is_this_process_and_two_are_not():
    assert set(parallel.ordered_map(name_of_process, range(3), 1)) == {os.getpid()}
    assert os.getpid() not in set(parallel.ordered_map(name_of_process, range(3), 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_fetched_as_results_are_taken(workers):
    """An endless generator is processed, with only a few items ahead."""
    taken = []
    results = parallel.ordered_map(
        scaled, (taken.append(i) or i for i in itertools.count()), workers, 1, 0
    )
    assert list(itertools.islice(results, 20)) == list(range(20))
    assert len(taken) <= 20 + parallel.AHEAD * workers + 1
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_through(workers):
    results = parallel.ordered_map(fail_at_three, range(10), workers)
    with pytest.raises(UserError, match="three"):
        list(results)


def test_a_killed_process_is_one_sentence():
    with pytest.raises(UserError, match="a worker process was killed"):
        list(parallel.ordered_map(die, range(10), 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_executor_works_for_several_maps(workers):
    with parallel.executor(workers) as executor:
        pids = set(parallel.ordered_map(name_of_process, range(5), 1, executor=executor))
        pids |= set(parallel.ordered_map(name_of_process, range(5), 1, executor=executor))
        assert list(parallel.ordered_map(scaled, range(9), 1, 10, 1, executor=executor)) == [
            10 * x + 1 for x in range(9)
        ]
    assert len(pids) <= workers
    assert (os.getpid() in pids) == (workers == 1)


def test_the_workers_of_a_killed_process_end():
    reader, writer = multiprocessing.Pipe(duplex=False)
    main = multiprocessing.get_context("fork").Process(target=kill_main, args=(writer,))
    main.start()
    writer.close()
    main.join()
    assert main.exitcode == -signal.SIGKILL
    with pytest.raises(EOFError):  # raised when no process has the writer any more
        if reader.poll(20):
            reader.recv()


def kill_main(writer):
    with parallel.executor(2) as executor:
        next(parallel.ordered_map(name_of_process, range(5), 1, executor=executor))
        os.kill(os.getpid(), signal.SIGKILL)


def test_groups():
    assert list(parallel.in_groups(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(parallel.in_groups("ab", 2)) == [["a", "b"]]
    assert list(parallel.in_groups([], 2)) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(38, "Function not implemented"),
        PermissionError(13, "Permission denied"),
        ImportError("x"),
    ],
)
def test_without_semaphores_work_is_done_in_this_process(monkeypatch, capsys, error):
    """A machine on which /dev/shm is missing or not writable."""

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(multiprocessing.synchronize.SemLock, "__init__", refuse)
    parallel._semaphore_error.cache_clear()
    try:
        assert set(parallel.ordered_map(name_of_process, range(3), 2)) == {os.getpid()}
        with parallel.executor(4) as executor:
            assert list(parallel.ordered_map(scaled, range(3), 1, 2, 1, executor=executor)) == [
                1,
                3,
                5,
            ]
        assert parallel.usable(3) == 1
        assert parallel.usable(1) == 1
    finally:
        parallel._semaphore_error.cache_clear()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0] == f"no semaphores ({error}; is /dev/shm writable?): working in one process"


def test_with_semaphores_the_workers_are_those_asked_for():
    assert parallel.usable(3) == 3
