"""Threads times processes never exceed the cores."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from texttopicnet import artefacts, cores, parallel
from texttopicnet.cores import usable  # the conftest replaces cores.usable


def pools(_):
    """In a worker: the threads of every library that is loaded, and what later ones will read."""
    np.ones((4, 4)) @ np.ones((4, 4))
    found = [library["num_threads"] for library in threadpool_info()]
    found += [cv2.getNumThreads(), torch.get_num_threads()]
    return found + [int(os.environ[name]) for name in cores.VARIABLES]


@pytest.mark.parametrize(("workers", "cores_here", "each"), [(2, 4, 2), (2, 2, 1), (3, 4, 1)])
def test_a_worker_has_its_share_of_the_cores(monkeypatch, workers, cores_here, each):
    monkeypatch.setattr(cores, "usable", lambda: cores_here)
    for name in cores.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (found,) = parallel.ordered_map(pools, [0], workers)
    assert max(found) <= each
    assert found[-len(cores.VARIABLES) :] == [each] * len(cores.VARIABLES)


def test_the_users_smaller_number_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    (found,) = parallel.ordered_map(pools, [0], 2)
    assert found[-3:] == [1, 2, 2]


def test_this_process_keeps_its_threads(monkeypatch):
    """One worker is this process: it may use all cores."""
    before = torch.get_num_threads(), cv2.getNumThreads(), dict(os.environ)
    list(parallel.ordered_map(len, ["a"], 1))
    assert (torch.get_num_threads(), cv2.getNumThreads(), dict(os.environ)) == before


@pytest.mark.parametrize(
    ("wanted", "cores_here", "started"), [(3, 2, 2), (3, 8, 3), (5, 1, 1), (1, 8, 1)]
)
def test_no_more_processes_than_cores(monkeypatch, wanted, cores_here, started):
    monkeypatch.setattr(cores, "usable", lambda: cores_here)
    assert cores.processes(wanted) == parallel.usable(wanted) == started
    with parallel.executor(wanted) as executor:
        assert executor.size == (started if started > 1 else 0)


@pytest.mark.parametrize(("count", "each"), [(1, 7), (2, 3), (7, 1), (9, 1)])
def test_threads_of_each_process(monkeypatch, count, each):
    monkeypatch.setattr(cores, "usable", lambda: 7)
    assert cores.threads(count) == each


def test_the_affinity_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert usable() == 1


AFTER_OPENCV = """
import cv2
import numpy as np
from texttopicnet import cores, parallel
cores.usable = lambda: 4
image = np.zeros((2000, 2000, 3), np.uint8)
cv2.setNumThreads(4)
cv2.resize(image, (3000, 3000))
def threads(_):
    cv2.resize(image, (3000, 3000))
    return cv2.getNumThreads()
print(list(parallel.ordered_map(threads, [0, 1], 2)), cv2.getNumThreads())
"""


def test_workers_start_after_opencv_has_used_its_threads():
    """OpenCV works in one thread in each of them; this process has its four again."""
    command = [sys.executable, "-c", AFTER_OPENCV]
    done = subprocess.run(command, cwd=artefacts.ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout == "[1, 1] 4\n", done.stderr
