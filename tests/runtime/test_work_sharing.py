"""Sharing a batch among threads."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from caffe import processes, work_sharing


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_every_number_once(workers):
    done = []
    with ThreadPoolExecutor(workers) as pool:
        work_sharing.share(pool, workers, 40, done.append)
        work_sharing.share(pool, workers, 0, done.append)
    assert sorted(done) == list(range(40))


def test_a_slow_item_holds_up_no_other():
    """The first one ends when all others have."""
    others, ended = [], threading.Event()

    def work(i):
        if i == 0:
            assert ended.wait(60)
            return
        others.append(i)
        if len(others) == 9:
            ended.set()

    with ThreadPoolExecutor(2) as pool:
        work_sharing.share(pool, 2, 10, work)
    assert others == list(range(1, 10))


def test_the_first_error_in_order_is_raised():
    """Number 3 fails last, because it waits for number 5."""
    failed = threading.Event()

    def work(i):
        if i == 3:
            assert failed.wait(60)
            raise ValueError("third")
        if i == 5:
            failed.set()
            raise ValueError("fifth")

    with ThreadPoolExecutor(4) as pool, pytest.raises(ValueError, match="third"):
        work_sharing.share(pool, 4, 1000, work)


def test_processes_of_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert (work_sharing.threads(4), work_sharing.threads(16)) == (4, 12)
    monkeypatch.setattr(processes, "on_this_machine", lambda: 5)
    assert (work_sharing.threads(4), work_sharing.threads(1)) == (2, 1)
    monkeypatch.setattr(processes, "on_this_machine", lambda: 20)
    assert work_sharing.threads(4) == 1
