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


def total(device):
    """Bytes of memory that a device has (for the CPU: the machine's)."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check(what, numbers, device, remedy):
    """Refuse what can never fit: `numbers` float32 in more bytes than the device has."""
    if 4 * numbers > total(device):
        size, there = 4 * numbers / 2**30, total(device) / 2**30
        raise CaffeError(f"{what}: needs {size:.1f} GiB, this machine has {there:.1f} GiB of memory; lower {remedy}")
