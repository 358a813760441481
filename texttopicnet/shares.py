"""A list of images that several processes share: those that torchrun starts, on one machine or
several, or worker processes of this one.

A share is a run of whole batches, so every image is in the batch in which a single process would
have it.  The numbers differ at most as the same batch's numbers differ with the number of threads.
"""

import atexit
import contextlib
import datetime
import math
import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from texttopicnet import parallel
from texttopicnet.errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun's
PATIENCE = datetime.timedelta(days=7)  # until the slowest share is done; a dead process ends all
TOGETHER = 4  # batches that a worker process computes at once
Arrays = dict[str, np.ndarray]  # each with a row per item
Item = TypeVar("Item")


def count() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if all(map(os.environ.get, VARIABLES)) else 1


def rank() -> int:
    """This process's number among them, from 0; number 0 writes the results."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def gpu() -> int:
    """The GPU of this process: those on one machine take the GPUs in turn."""
    import torch

    worker = re.search(r"-(\d+)$", multiprocessing.current_process().name)  # "ForkProcess-1"
    own_number = int(worker[1]) - 1 if worker else int(os.environ.get("LOCAL_RANK", 0))
    return own_number % max(1, torch.cuda.device_count())


@contextlib.contextmanager
def first_speaks() -> Iterator[None]:
    """In the block, stdout is that of process 0 alone."""
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere if rank() else sys.stdout),
    ):
        yield


def own(items: Sequence[Item], batch: int) -> Sequence[Item]:
    """The share of this process, in whole batches; it may be empty."""
    batches = math.ceil(len(items) / batch)
    start, end = (batch * (batches * number // count()) for number in (rank(), rank() + 1))
    return items[start:end]


def pieces(items: Sequence[Item], batch: int, workers: int) -> Iterator[Sequence[Item]]:
    """The items in whole batches, several together but enough pieces for all workers."""
    batches = math.ceil(len(items) / batch)
    size = batch * max(1, min(TOGETHER, batches // workers))
    return (items[start : start + size] for start in range(0, len(items), size))


def collected(found: Iterable[Arrays], total: int) -> Arrays:
    """The arrays of consecutive pieces, joined to arrays of `total` rows."""
    whole: Arrays = {}
    done = 0
    for piece in found:
        for name, rows in piece.items():
            if name not in whole:
                whole[name] = np.empty((total, *rows.shape[1:]), rows.dtype)
            whole[name][done : done + len(rows)] = rows
        done += max(map(len, piece.values()), default=0)
    return whole


def together(
    work: Callable[..., Arrays], items: Sequence[Any], batch: int, processes: int, *setup: Any
) -> Arrays | None:
    """``work(*setup, items, silent)`` by torchrun's processes, by worker processes, or by this one.

    Parameters
    ----------
    work : callable
        A module's function.  Returns arrays with a row per item, {} for no items, and shows its
        progress unless it is told to be `silent`.
    items : sequence
    batch : int
        Items that stay together.
    processes : int
        Worker processes, at most one per core; torchrun's processes start none.
    *setup : object

    Returns
    -------
    dict or None
        The rows of all items.  Only process 0 of torchrun's gets them, the others get None.

    Raises
    ------
    UserError
        As `work`; a worker process was killed.
    """
    if count() > 1:
        mine = own(items, batch)
        return gathered(lambda: work(*setup, mine, rank() > 0), len(items))
    if (workers := parallel.usable(processes)) > 1:
        parts = list(pieces(items, batch, workers))
        found = parallel.ordered_map(_silent, parts, workers, work, setup)
        return collected(tqdm(found, total=len(parts), unit="piece"), len(items))
    return work(*setup, items, False)


def _silent(work: Callable[..., Arrays], setup: Sequence[Any], items: Sequence[Any]) -> Arrays:
    return work(*setup, items, True)


def gathered(work: Callable[[], Arrays], total: int) -> Arrays | None:
    """Call `work` in every process, and bring the results together.

    Parameters
    ----------
    work : callable
        Returns float32 arrays with a row per item of this process's share; {} for an empty share.
    total : int
        Number of items.

    Returns
    -------
    dict or None
        All rows in process 0, None in the others.

    Raises
    ------
    UserError
        `work` raised it, here; where another process did, this one ends with status 1.
    """
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=PATIENCE)
        atexit.register(dist.destroy_process_group)
    trouble: UserError | None = None
    own_arrays: Arrays = {}
    try:
        own_arrays = work()
    except UserError as error:
        trouble = error
    shapes = {name: rows.shape for name, rows in own_arrays.items()}
    about: list[Any] = [None] * count()
    dist.all_gather_object(about, (trouble is not None, shapes))
    if trouble is not None:
        raise trouble
    if any(failed for failed, _ in about):
        sys.exit(1)  # the other process has said why
    if rank():
        _send(own_arrays)
        return None
    return collected(_received(own_arrays, [shapes for _, shapes in about]), total)


def _send(arrays: Arrays) -> None:
    import torch
    import torch.distributed as dist

    for rows in arrays.values():
        dist.send(torch.from_numpy(np.ascontiguousarray(rows)), 0)


def _received(first: Arrays, shapes: Sequence[dict[str, tuple[int, ...]]]) -> Iterator[Arrays]:
    """The arrays of each process in turn; the first one's are here."""
    import torch
    import torch.distributed as dist

    yield first
    for number in range(1, len(shapes)):
        found = {name: torch.empty(shape) for name, shape in shapes[number].items()}
        for tensor in found.values():
            dist.recv(tensor, number)
        yield {name: tensor.numpy() for name, tensor in found.items()}
