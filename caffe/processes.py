"""Several processes that train one net together: how they meet, and what they exchange.

`torchrun` and caffe/launch.py start the processes and describe the group in the environment, with
torch.distributed's names: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT.  Each process is
one of Caffe's solvers (see caffe/mode.py), and solver 0 is the root.  Tensors on GPUs travel by
NCCL, everything else by Gloo.  All processes call the functions below in the same order; where only
one process trains, they do nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from caffe import log, mode
from caffe.error import CaffeError
from caffe.signals import NONE, SNAPSHOT, STOP

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# How long the others wait while the root tests.  The end of a process is noticed at once.
TIMEOUT = timedelta(hours=12)
START = timedelta(minutes=10)  # until all processes have joined
POLL = 0.02  # seconds
DUMP = "exception_dump"  # the key of a store by which NCCL's watchdogs tell all processes to end
CODES = (NONE, SNAPSHOT, STOP)
_joined = False


def launched() -> bool:
    """Whether this process was started as one of several."""
    return all(os.environ.get(name) for name in VARIABLES) and _number("WORLD_SIZE", 1) > 1


def together() -> bool:
    """Whether this process trains together with others."""
    return _joined


def has_nccl() -> bool:
    """Whether several GPUs can train together here."""
    return torch.cuda.is_available() and dist.is_nccl_available()


def local_rank() -> int:
    """Which of the processes on its machine this one is, from 0; it decides on the GPU."""
    return _number("LOCAL_RANK", 0)


def on_this_machine() -> int:
    """How many processes of this training run on this machine."""
    return _number("LOCAL_WORLD_SIZE", mode.solver_count()) if _joined else 1


def join() -> None:
    """Join the group that the environment describes, if there is one.

    Raises
    ------
    CaffeError
        The other processes cannot be reached.
    """
    if not launched() or _joined:
        return
    rank, count = _number("RANK", 0), _number("WORLD_SIZE", 1)
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    enter(rank, count, "env://", address)
    if rank:  # as in Caffe, only the root logs; errors are everyone's
        quietest = max(log.LEVELS["E"], int(log.setting("minloglevel")))
        log.set_flags({"minloglevel": quietest})
    log.info("parallel.cpp:193", f"Training with {count} processes, this is number {rank}")


def enter(rank: int, count: int, method: str, where: str) -> None:
    """Enter a group of `count` processes as number `rank`.

    Parameters
    ----------
    rank, count : int
    method : str
        torch.distributed's init_method.
    where : str
        The group's address, for errors.
    """
    global _joined
    backends = "cpu:gloo,cuda:nccl" if has_nccl() else "gloo"
    with _reached(where, rank):
        store, _, _ = next(dist.rendezvous(method, rank, count, timeout=START))
        dist.init_process_group(
            backends,
            store=_of_this_start(store, rank, count),
            rank=rank,
            world_size=count,
            timeout=START,
        )
        dist.group.WORLD.set_timeout(TIMEOUT)
    _joined = True
    mode.set_solver_count(count)
    mode.set_solver_rank(rank)


def _of_this_start(store: dist.Store, rank: int, count: int) -> dist.Store:
    """A part of the store that only these processes use.

    The store of torchrun outlives the processes that it restarts, and would hand over the addresses
    of those that were killed.  So the root chooses a new name; each of the others asks for it with
    a word of its own, and confirms it.  NCCL's watchdogs look for their signal outside that part:
    the signal of those that were killed would end these processes minutes later.
    """
    own = uuid.uuid4().hex
    if rank:
        store.set(f"caffe/asks/{rank}", own)
        name = store.get(f"caffe/answer/{own}").decode()
        store.set(f"caffe/heard/{name}/{rank}", "yes")
        return dist.PrefixStore(name, store)
    whole = store
    while isinstance(whole, dist.PrefixStore):
        whole = whole.underlying_store
    whole.delete_key(DUMP)
    missing, end = set(range(1, count)), time.monotonic() + START.total_seconds()
    while missing:
        if time.monotonic() > end:
            raise RuntimeError(f"{len(missing)} of {count} processes did not join")
        for other in sorted(missing):
            if store.check([f"caffe/heard/{own}/{other}"]):
                missing.remove(other)
            elif store.check([f"caffe/asks/{other}"]):  # maybe one that was killed
                store.set(f"caffe/answer/{store.get(f'caffe/asks/{other}').decode()}", own)
        time.sleep(POLL)
    return dist.PrefixStore(own, store)


def end(status: int) -> None:
    """End this process at once if it fails while it trains together with others by NCCL.

    To leave the group, NCCL would wait for what is under way on the GPU, and that may be a sum to
    which a dead process never adds its part.

    Parameters
    ----------
    status : int
        The exit status.
    """
    if not _joined or "nccl" not in dist.get_backend_config():
        return
    if sys.exc_info()[0] is not None:  # Python would show it later
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def leave() -> None:
    """Leave the group, if this process has joined one."""
    global _joined
    if not _joined:
        return
    _joined = False
    mode.set_solver_count(1)
    mode.set_solver_rank(0)
    with contextlib.suppress(RuntimeError):  # the others may be gone
        dist.destroy_process_group()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise CaffeError(f"the environment variable {name} must be a number, not '{text}'")
    return int(text)


@contextlib.contextmanager
def _reached(where: str = "", rank: int | None = None) -> Iterator[None]:
    """Turn an error of the network, of NCCL, or another process's end, into one sentence."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if where:
            what = f"the processes at {where} cannot be reached"
        elif isinstance(error, dist.DistBackendError):
            what = "NCCL failed"
        else:
            what = "another process ended"
        number = mode.solver_rank() if rank is None else rank
        raise CaffeError(
            f"process {number} of the training stops, because {what} ({_reason(error)});"
            " -resume resumes from the last snapshot"
        ) from error


def _reason(error: Exception) -> str:
    """What an error says, in one line, without the lines of PyTorch's code, and its advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = lines[0]
    if "Last error:" in lines[:-1]:  # NCCL's own words
        first = lines[lines.index("Last error:") + 1]
    return re.sub(r"\[/[^]]*\] ", "", first).partition(". ")[0]


# ---------------------------------------------------------------------------------------- exchange


def start_sum(tensor: torch.Tensor) -> dist.Work | None:
    """Start to sum a tensor over the processes, in place; `wait_for` waits for the sum."""
    if not _joined:
        return None
    with _reached():
        return dist.all_reduce(tensor, async_op=True)


def wait_for(work: dist.Work | None) -> None:
    """Wait for the sum of `start_sum`; on a GPU, only later operations wait for it."""
    if work is not None:
        with _reached():
            work.wait()


def mean(tensor: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over the processes; with one process, the tensor itself."""
    if not _joined:
        return tensor
    total = tensor.detach().clone()
    wait_for(start_sum(total))
    return total / mode.solver_count()


def take_from_root(tensors: Sequence[torch.Tensor]) -> None:
    """Overwrite tensors with the root's."""
    if _joined:
        with _reached():
            for tensor in tensors:
                dist.broadcast(tensor, 0)


def of_root(value: object) -> object:
    """The root's value; it is pickled on the way."""
    if not _joined:
        return value
    box = [value]
    with _reached():
        dist.broadcast_object_list(box, 0)
    return box[0]


def gathered(value: bytes) -> list[bytes]:
    """The values of all processes, in the order of their numbers."""
    if not _joined:
        return [value]
    values: list[bytes] = [b""] * mode.solver_count()
    with _reached():
        dist.all_gather_object(values, value)
    return values


def agreed(request: str) -> str:
    """What all processes do after an iteration, if signals ask this one for `request`.

    They stop together, whichever was asked.  A snapshot is the root's to decide: a signal that
    reaches all processes, some of them an iteration later, asks for one snapshot.
    """
    if not _joined:
        return request
    if request == SNAPSHOT and not mode.root_solver():
        request = NONE
    code = torch.tensor(CODES.index(request))
    with _reached():
        dist.all_reduce(code, op=dist.ReduceOp.MAX)
    return CODES[int(code)]
