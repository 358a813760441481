"""Memory that is not there: one sentence with the layer and the field that asks for so much, not torch's allocation error."""

import contextlib
import os

import torch

from caffe.error import CaffeError

# how torch, oneDNN and C++ say that an allocation failed
SIGNS = (
    "defaultcpuallocator",
    "can't allocate memory",
    "bad_alloc",
    "not enough memory",
    "out of memory",
    "could not create a memory",
    "size calculation overflowed",
)


@contextlib.contextmanager
def enough_for(what, remedy):
    """Turn a failed allocation inside the block into a CaffeError: "<what>: not enough memory; lower <remedy>".

    Parameters
    ----------
    what : str
        The layer, or the pass through the net.
    remedy : str
        The field, or fields, that set the size.
    """
    try:
        yield
    except MemoryError as error:
        raise CaffeError(f"{what}: not enough memory; lower {remedy}") from error
    except CaffeError:
        raise
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if any(sign in str(error).lower() for sign in SIGNS):
            raise CaffeError(f"{what}: not enough memory; lower {remedy}") from error
        raise


def available(device):
    """Bytes of memory that are free on a device, or could be made free; for the CPU with the free swap space."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        with open("/proc/meminfo", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        return sum(1024 * int(fields[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):  # not a Linux system
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check(what, numbers, device, remedy):
    """Refuse `numbers` float32 if they need more bytes than there are: Linux would grant them, and then kill the process."""
    there = available(device)
    if 4 * numbers > there:
        size, there = 4 * numbers / 2**30, there / 2**30
        raise CaffeError(f"{what}: needs {size:.1f} GiB, there are {there:.1f} GiB of memory; lower {remedy}")
