"""Time computations on an idle machine and beside other work, with and without caffe's way to wait.

Reads:   CNN/CaffeNet/, CNN/CaffeNetSample/; images are drawn
Writes:  nothing, or with --out a JSON record; prints seconds, ratios and the fair share
Paper:   section 4 (CaffeNet, batch 64)
Usage:   python benchmarks/busy.py [--rounds 5] [--quick] [--out FILE]

`import caffe` tells the threads of a computation to sleep soon when they wait for each other
(caffe/waiting.py).  Here every computation runs in two processes, one that imports caffe, and one
that imports torch before it and so keeps OpenMP's default.  The two compute in turn, first with the
machine to themselves, then beside one busy process per core.

The busy processes have a session each, as those of other users on a shared server have, because the
Linux scheduler shares out the cores by sessions.  What a fair share is, is measured too: work in
one thread per core, which never wait for each other.  How many times as long it takes beside the
busy processes is how many times as long a computation may take.
"""

import hashlib
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import drawn_images
import measuring

from texttopicnet import command_line

OURS, BEFORE, FAIR = "short waits", "OpenMP's default", "fair share"
NAMES = {
    "caffenet": "CaffeNet, a training iteration of 64 images",
    "sample": "the sample's net, a training iteration of 64 images",
    "features": "CaffeNet, the features of 50 images",
}
STATES = {"quiet": "alone", "busy": "beside a busy process per core"}
# iterations of a side in a row
FULL = {"caffenet": 2, "sample": 10, "features": 2, "rounds": 3}
QUICK = {"caffenet": 1, "sample": 5, "features": 1, "rounds": 1}
CHUNK = bytes(1 << 22)


def training(net: str, side: int) -> Callable[[Path], Callable[[], object]]:
    """Makes the step of a training of the net."""

    def make(folder: Path) -> Callable[[], object]:
        drawn_images.make_lmdbs(folder, 256, side)
        solver = drawn_images.solver_of(net, folder)
        return lambda: solver.step(1)

    return make


def features(_: Path) -> Callable[[], object]:
    """Makes the step of extract_features.py: a batch through the net."""
    os.environ.setdefault("GLOG_minloglevel", "1")
    import numpy as np

    import caffe

    net = caffe.Net(str(drawn_images.ROOT / "CNN/CaffeNet/deploy.prototxt"), caffe.TEST)
    blob = net.blobs[net.inputs[0]]
    blob.reshape(50, *blob.shape[1:])
    net.reshape()
    images = np.random.default_rng(0).normal(0, 60, blob.shape).astype(np.float32)

    def step() -> None:
        blob.data[...] = images
        net.forward()

    return step


def independent(_: Path) -> Callable[[], object]:
    """Makes a step of work that any number of cores can share without waiting for each other."""
    threads = len(os.sched_getaffinity(0))

    def hash_chunks(chunks: queue.SimpleQueue) -> None:
        while True:
            try:
                chunk = chunks.get_nowait()
            except queue.Empty:
                return
            hashlib.sha256(chunk).digest()

    def step() -> None:
        chunks = queue.SimpleQueue()
        for _ in range(100 * threads):
            chunks.put(CHUNK)
        at_work = [threading.Thread(target=hash_chunks, args=(chunks,)) for _ in range(threads)]
        for thread in at_work:
            thread.start()
        for thread in at_work:
            thread.join()

    return step


MAKERS = {
    "caffenet": training("CaffeNet", 256),
    "sample": training("CaffeNetSample", 72),
    "features": features,
    FAIR: independent,
}


def serve(name: str) -> None:
    """In a process of its own: compute as many steps as each line of stdin says; print seconds."""
    with tempfile.TemporaryDirectory() as folder:
        step = MAKERS[name](Path(folder))
        for _ in range(2):
            step()
        print("ready", flush=True)
        for line in sys.stdin:
            start = time.perf_counter()
            for _ in range(int(line)):
                step()
            print((time.perf_counter() - start) / int(line), flush=True)


class Side:
    """A process, in a session of its own, that computes steps when it is asked to."""

    def __init__(self, name: str, before: bool = False) -> None:
        command = f"import sys; sys.path[:0] = {json.dumps([str(Path(__file__).parent)])}; "
        command += "import torch; " if before else ""
        command += f"import busy; busy.serve({name!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the process that computes {name} has ended")

    def seconds(self, steps: int) -> float:
        """Seconds per step."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


# ends by itself when the benchmark that has started it is killed
BUSY = """
import os, sys
while os.getppid() == int(sys.argv[1]):
    for _ in range(1_000_000):
        pass
"""


class OtherWork:
    """As a context manager: one busy process per core, each in a session of its own."""

    def __enter__(self) -> None:
        command = [sys.executable, "-c", BUSY, str(os.getpid())]
        self.processes = [
            subprocess.Popen(command, start_new_session=True) for _ in os.sched_getaffinity(0)
        ]
        time.sleep(1)

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def measure(name: str, steps: int, rounds: int, fair: Side) -> dict[str, dict[str, list[float]]]:
    """{"quiet" or "busy": {side: seconds per step, per round}} of one computation."""
    sides = {OURS: Side(name), BEFORE: Side(name, before=True), FAIR: fair}
    found = {state: {side: [] for side in sides} for state in STATES}

    def compute(state: str, number: int) -> None:
        for side in list(sides)[:: -1 if number % 2 else 1]:
            took = sides[side].seconds(1 if side == FAIR else steps)
            found[state][side].append(took)
            print(f"{name}, {state}, round {number + 1}: {side} {took:.4g} s", flush=True)

    try:
        for number in range(rounds):
            compute("quiet", number)
            with OtherWork():
                compute("busy", number)
    finally:
        sides[OURS].end()
        sides[BEFORE].end()
    return found


def values_of(found: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """The ratios that say how well a computation gets on beside other work; see `main`."""
    quiet, busy = found["quiet"], found["busy"]
    fair = measuring.ratios(busy[FAIR], quiet[FAIR])
    alone = statistics.median(quiet[OURS])
    return {
        "quiet, short waits / default": measuring.ratios(quiet[OURS], quiet[BEFORE]),
        "a fair share takes": fair,
        **{
            f"busy, {side} / a fair share": measuring.ratios(
                busy[side], [alone * fair["median"]] * len(busy[side])
            )
            for side in (OURS, BEFORE)
        },
    }


def main() -> int:
    parser = measuring.parser(__doc__, "nothing here")
    args = parser.parse_args()
    settings = measuring.settings(args, FULL, QUICK)
    rows, values = [], {}
    with measuring.watched() as seen:
        fair = Side(FAIR)
        try:
            for name, what in NAMES.items():
                found = measure(name, settings[name], settings["rounds"], fair)
                for state, words in (
                    ("quiet", "alone"),
                    ("busy", "beside a busy process per core"),
                ):
                    times = {side: found[state][side] for side in (OURS, BEFORE)}
                    rows.append(measuring.comparison(f"{what}, {words}", times, OURS, BEFORE))
                values[name] = values_of(found)
        finally:
            fair.end()
    measuring.report(measuring.record("busy", settings, rows, seen, values), args.out)
    return 0


if __name__ == "__main__":
    command_line.run(main)
