"""`caffe train` on several GPUs of one machine: one process per GPU, started from here.

torchrun does the same for any number of machines; see caffe/processes.py.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import torch

from caffe import log, processes
from caffe.error import CaffeError

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 10.0  # seconds that the others get to end when one has failed
POLL = 0.1  # seconds


def devices(chosen: str) -> list[int]:
    """The GPUs that -gpu names.

    Parameters
    ----------
    chosen : str
        Numbers with commas between them, or 'all'; empty for the CPU.

    Returns
    -------
    list of int
        Without CUDA, 'all' gives [0].

    Raises
    ------
    CaffeError
        `chosen` is something else, or names a GPU twice.
    """
    if chosen == "all":
        return list(range(max(1, torch.cuda.device_count())))
    words = chosen.split(",") if chosen else []
    if not all(word.strip().isdecimal() for word in words):
        raise CaffeError(f"-gpu takes device numbers or all, not '{chosen}'")
    numbers = [int(word) for word in words]
    if len(set(numbers)) < len(numbers):
        raise CaffeError(f"-gpu {chosen} names a device twice")
    return numbers


def needed(chosen: str) -> bool:
    """Whether `caffe train -gpu chosen` has to start processes, one for each of several GPUs."""
    return not processes.launched() and torch.cuda.is_available() and len(devices(chosen)) > 1


def train_on(chosen: str, arguments: Sequence[str]) -> None:
    """Run `caffe` with these arguments on each of the GPUs that -gpu names, all together.

    Raises
    ------
    CaffeError
        A GPU does not exist, or a process failed.
    """
    numbers, count = devices(chosen), torch.cuda.device_count()
    if max(numbers) >= count:
        raise CaffeError(f"-gpu {chosen}: there are devices 0 to {count - 1}")
    if start_all([sys.executable, "-m", "caffe.cli", *arguments], len(numbers)):
        raise CaffeError(f"the training on the GPUs {chosen} has failed; its errors are above")


def own_device(numbers: Sequence[int]) -> int:
    """The GPU of this process among those that -gpu names.

    Of several processes of one machine that were given one GPU, or none, each takes the one of its
    own number.
    """
    rank = processes.local_rank() if processes.launched() else 0
    if len(numbers) > 1 and rank >= len(numbers):
        raise CaffeError(
            f"-gpu names {len(numbers)} devices, but this is process {rank} of this machine,"
            " counted from 0: start as many processes as devices"
        )
    if len(numbers) > 1:
        return numbers[rank]
    several = processes.launched() and os.environ.get("LOCAL_WORLD_SIZE", "1") != "1"
    return rank if several or not numbers else rank or numbers[0]


def start_all(command: Sequence[str], count: int) -> int:
    """Run a command as `count` processes that train together, and wait for them.

    SIGINT, SIGTERM and SIGHUP are passed on to all of them.  If one fails, the others are ended.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    count : int

    Returns
    -------
    int
        0, or the exit status of the first process that failed.
    """
    with socket.socket() as free:  # the root opens the same port a moment later
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    # also where torchrun has started this process, as the only one
    group |= {"LOCAL_WORLD_SIZE": str(count), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    threads = str(max(1, torch.get_num_threads() // count))
    group["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", threads)
    started: list[subprocess.Popen] = []
    try:
        for rank in range(count):
            place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            # a session of its own: Ctrl-C in a terminal reaches this process alone
            started.append(
                subprocess.Popen(
                    list(command), env=os.environ | group | place, start_new_session=True
                )
            )
        return _wait(started)
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.wait()


def _wait(started: Sequence[subprocess.Popen]) -> int:
    def pass_on(number: int, _: FrameType | None) -> None:
        for process in started:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        failed, end = None, float("inf")
        while any(process.poll() is None for process in started) and time.monotonic() < end:
            bad = next((p for p in started if p.poll()), None)
            if failed is None and bad is not None:
                failed, end = bad, time.monotonic() + PATIENCE
            time.sleep(POLL)
        failed = failed or next((p for p in started if p.poll()), None)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if failed is None:
        return 0
    if failed.returncode < 0:
        name = signal.Signals(-failed.returncode).name
        log.error(
            "parallel.cpp:285", f"Process {started.index(failed)} of the training died of {name}"
        )
    return failed.returncode if failed.returncode > 0 else 1
