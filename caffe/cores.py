"""How many cores this process may use, and threads that do not exceed them.

A machine's number of cores is not the answer: a batch system or a container gives a process some of
them, by its affinity, or a share of their time, by the quota of a control group.  PyTorch looks at
the affinity only.  More threads than cores slow each other down.
"""

import math
import os
from pathlib import Path

# what sets PyTorch's number of threads; the user's choice stays
CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def usable(root: Path = Path("/")) -> int:
    """Cores that this process may use: at least 1; a part of a core in a quota counts as one.

    Parameters
    ----------
    root : Path
        Where proc/ and sys/ are.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min([cores, *(math.ceil(quota) for quota in _quotas(root))])


def _quotas(root: Path) -> list[float]:
    """The quotas, in cores, of this process's control groups and of those that they are in."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return []
    found: list[float | None] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # in a container, the path may be the one outside of it; its own group is then at the top
        group = top / path.lstrip("/")
        folders = (group, *group.parents)
        found += [_quota(f, bool(controllers)) for f in folders if f.is_relative_to(top)]
    return [quota for quota in found if quota]


def _quota(folder: Path, first_version: bool) -> float | None:
    """The quota of one control group in cores; None if it has none."""
    try:
        if first_version:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8")
        else:
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        quota, period = float(quota), float(period)
    except (OSError, ValueError):  # the file does not exist, or says "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def limit_torch() -> None:
    """Give PyTorch no more threads than usable cores, unless the environment sets their number."""
    import torch

    if not any(name in os.environ for name in CHOSEN) and torch.get_num_threads() > usable():
        torch.set_num_threads(usable())
