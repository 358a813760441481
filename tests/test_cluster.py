"""A Dask cluster of two worker processes that are killed, which costs time but loses no work."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gensim.corpora import Dictionary

from texttopicnet import lda_training, parallel
from texttopicnet.errors import UserError


class Dask:
    """`dask scheduler` and `dask worker` as a user starts them, in another folder."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self.scheduler = self.start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.file
        )
        while not self.file.exists() or not self.file.read_text():
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, *arguments):
        dask = Path(sys.executable).with_name("dask")
        with open(self.folder / "log", "a") as log:
            process = subprocess.Popen(
                [dask, *arguments, "--no-dashboard"], cwd=self.folder, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def add_worker(self):
        return self.start(
            "worker",
            self.address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--local-directory",
            self.folder,
        )

    def workers(self, count):
        """This many running workers."""
        running = [process for process in self.processes[1:] if process.poll() is None]
        running += [self.add_worker() for _ in range(count - len(running))]
        while True:
            try:
                with parallel.executor(1, self.address) as cluster:
                    while cluster._ask() != count:
                        time.sleep(0.05)
                return running
            except UserError:  # none yet
                pass

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    dask = Dask(tmp_path_factory.mktemp("dask"))
    yield dask
    dask.stop()


def test_a_scheduler_without_workers_is_one_sentence(dask):
    with (
        pytest.raises(
            UserError,
            match=f"at {dask.address} has no workers: start some with dask worker {dask.address}",
        ),
        parallel.executor(1, dask.address),
    ):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://127.0.0.1:no", "nonsense"])
def test_no_scheduler_is_one_sentence(address, monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", 0.5)
    with (
        pytest.raises(
            UserError,
            match=f"no Dask scheduler answers at {address}: start one with dask scheduler",
        ),
        parallel.executor(1, address),
    ):
        pass


def test_results_in_order_though_a_worker_is_killed(dask, recwarn, capfd):
    def scaled(factor, x):  # not a function of this module, which the workers lack
        time.sleep(0.02)
        return os.getpid(), factor * x, b"*" * (x == 30) * 20_000_000

    taken, results, pids = [], [], set()
    victim, other = dask.workers(2)
    with parallel.executor(1, dask.address) as cluster:
        items = (taken.append(x) or x for x in itertools.count())
        for pid, result, _ in parallel.ordered_map(scaled, items, 1, 10, executor=cluster):
            results.append(result)
            pids.add(pid)
            assert len(taken) <= len(results) + parallel.AHEAD * 2 + 1
            if len(results) == 20:
                victim.kill()
            if len(results) == 60:
                break
    assert results == [10 * x for x in range(60)]
    assert pids == {victim.pid, other.pid}
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_an_error_comes_through_and_a_missing_module_is_reported(dask):
    def fail(x):
        raise TimeoutError("three")  # Dask's own time limit raises it too

    def import_what_is_not_there(x):
        import texttopicnet.no_such_module  # noqa: F401

    dask.workers(1)
    with parallel.executor(1, dask.address) as cluster:
        with pytest.raises(TimeoutError, match="three"):
            list(parallel.ordered_map(fail, range(3), 1, executor=cluster))
        with pytest.raises(
            UserError, match=r"a Dask worker lacks a module .*no_such_module.*: install it there"
        ):
            list(parallel.ordered_map(import_what_is_not_there, range(3), 1, executor=cluster))


def test_a_cluster_without_the_project_is_one_sentence(dask, monkeypatch):
    dask.workers(1)
    monkeypatch.setattr(parallel, "_answer", of_this_module)  # which the cluster lacks
    lacks = f"scheduler at {dask.address} or a worker lacks this project .*test_cluster.*: install"
    with pytest.raises(UserError, match=lacks), parallel.executor(1, dask.address):
        pass


def of_this_module():
    pass


def test_a_worker_killed_in_training_costs_time_not_the_model(dask, monkeypatch):
    monkeypatch.setattr(lda_training, "PIECE", 30)
    rng = np.random.default_rng(0)
    documents = [[f"word{i}" for i in 40 * (n % 5) + rng.integers(0, 60, 50)] for n in range(600)]
    dictionary = Dictionary(documents)
    bows = [dictionary.doc2bow(document) for document in documents]

    class Killing(list):
        read = 0

        def __iter__(self):
            for document in super().__iter__():
                self.read += 1
                if self.read == 750:
                    victim.kill()
                yield document

    victim, _ = dask.workers(2)
    arguments = {"num_topics": 5, "passes": 2, "update_every": 2, "chunk": 150}
    with parallel.executor(1, dask.address) as cluster:
        lda = lda_training.learn(dictionary, Killing(bows), executor=cluster, **arguments)
    assert victim.wait() == -9
    wanted = lda_training.learn(dictionary, bows, **arguments)
    np.testing.assert_allclose(lda.state.sstats, wanted.state.sstats, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(lda.get_topics(), wanted.get_topics(), atol=1e-6)
    assert lda.num_updates == 600


def test_without_any_worker_it_waits_for_a_new_one(dask, monkeypatch, capfd):
    def slow(x):
        time.sleep(0.1)
        return x

    monkeypatch.setattr(parallel, "PATIENCE", 0.2)
    (last,) = dask.workers(1)
    ask = parallel.Cluster._ask

    def ask_and_send_for_help(cluster):
        if not ask(cluster) and last.returncode is not None and len(dask.processes) == before:
            dask.add_worker()
        return cluster._threads

    with parallel.executor(1, dask.address) as cluster:
        monkeypatch.setattr(parallel.Cluster, "_ask", ask_and_send_for_help)
        results = parallel.ordered_map(slow, range(12), 1, executor=cluster)
        assert next(results) == 0
        before = len(dask.processes)
        last.kill()
        last.wait()
        assert list(results) == list(range(1, 12))
    said = capfd.readouterr().err.splitlines()
    assert said == [f"no Dask worker is left at {dask.address}: waiting for a new one"]


def test_a_lost_scheduler_is_one_sentence(dask):  # the last test: the scheduler is gone
    def slow(x):
        time.sleep(0.05)
        return x

    dask.workers(1)
    with parallel.executor(1, dask.address) as cluster:
        results = parallel.ordered_map(slow, range(1000), 1, executor=cluster)
        assert next(results) == 0
        dask.scheduler.kill()
        with pytest.raises(
            UserError,
            match=f"the Dask scheduler at {dask.address} was lost: start it and its workers again",
        ):
            list(results)
