"""Whether a batch can fit into this machine's memory at all; the system kills a process that finds out too late."""

import contextlib
import math
import os


def total() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's limit if that is lower."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(path) as f:
            found = min(found, int(f.read()))
    return found


def check_batch(layer, shape):
    """Refuse a data layer's batch that is larger than the memory.

    Parameters
    ----------
    layer : Layer
        For the error.
    shape : sequence of int
        Of the top, float32; its first axis is the batch.
    """
    needed, there = 4 * math.prod(shape), total()
    if needed > there:
        size = " x ".join(map(str, shape))
        layer.fail(f"a batch of {size} numbers takes {needed / 1e9:.1f} GB, this machine has {there / 1e9:.1f}; lower batch_size")
