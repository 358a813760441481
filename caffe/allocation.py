"""Running out of memory: one sentence that names the layer and the field to lower.

It takes the place of torch's allocation error.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import torch

from caffe.error import CaffeError

# how torch, oneDNN and C++ say that an allocation failed
FAILURES = (
    "defaultcpuallocator",
    "can't allocate memory",
    "bad_alloc",
    "not enough memory",
    "out of memory",
    "could not create a memory",
    "size calculation overflowed",
    "status_alloc_failed",  # cuBLAS, cuDNN
)
ON_GPU = ("cuda", "cublas", "cudnn")  # one of these is in the message if it was the GPU's memory


class OutOfMemoryError(CaffeError):
    """A failed allocation."""


@contextlib.contextmanager
def enough_for(what: str, remedy: str) -> Iterator[None]:
    """Turn a failed allocation inside the block into a CaffeError.

    Its message is "<what>: not enough memory; lower <remedy>", with "on the GPU" where it was
    there.

    Parameters
    ----------
    what : str
        The layer, or the pass through the net.
    remedy : str
        The field, or fields, that set the size.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        failed = isinstance(error, (MemoryError, OutOfMemoryError)) or (
            not isinstance(error, CaffeError)
            and any(text in str(error).lower() for text in FAILURES)
        )
        if failed:  # even if a blob has named it already: the layer's name says more
            where = " on the GPU" if on_gpu(error) else ""
            raise OutOfMemoryError(f"{what}: not enough memory{where}; lower {remedy}") from error
        raise


def on_gpu(error: BaseException) -> bool:
    """Whether a failed allocation was the GPU's."""
    text = str(error).lower()
    return "on the gpu" in text or any(name in text for name in ON_GPU)


def available(device: torch.device) -> int:
    """The memory of a GPU, or the memory that is free for this process on the CPU, in bytes.

    On the CPU it includes swap, and does not exceed the limit of the process's control group.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        with open("/proc/meminfo", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        free = sum(1024 * int(fields[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):  # not a Linux system
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no limit reads "max"
        free = min(free, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    return free


def check(what: str, numbers: int, device: torch.device, remedy: str) -> None:
    """Refuse `numbers` float32 values that do not fit into memory.

    Linux would grant the memory, and kill the process when it uses it.

    Raises
    ------
    CaffeError
        "<what>: needs ... GiB, there are ... GiB of memory; lower <remedy>".
    """
    there = available(device)
    if 4 * numbers > there:
        size, there = 4 * numbers / 2**30, there / 2**30
        raise CaffeError(
            f"{what}: needs {size:.1f} GiB, there are {there:.1f} GiB of memory; lower {remedy}"
        )
