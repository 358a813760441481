"""Threads and processes that together do not exceed the cores of this process.

Libraries start a thread per core in every process.  Several processes with as many threads each
slow each other down, so a worker process gets its share.  No result depends on the shares.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

# what libraries read when they are loaded in a worker; numba is not among them, because no function
# here is compiled for several threads
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def usable() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group."""
    import joblib  # takes a tenth of a second

    return joblib.cpu_count()


def processes(wanted: int) -> int:
    """How many of `wanted` processes to start: at most one per core."""
    return min(wanted, usable())


def threads(count: int) -> int:
    """How many threads each of `count` processes may have: at least 1."""
    return max(1, usable() // count)


def share(count: int) -> None:
    """In one of `count` processes: give the libraries their share of the cores.

    The threads of the libraries that are loaded (BLAS, OpenMP, OpenCV, PyTorch) and of those that
    are loaded later are limited, but not raised if the user has set fewer.

    Parameters
    ----------
    count : int
        Number of processes that work at the same time.
    """
    limit = threads(count)
    for name in VARIABLES:
        set_by_user = os.environ.get(name, "")
        if not set_by_user.isdigit() or int(set_by_user) > limit:
            os.environ[name] = str(limit)
    import threadpoolctl

    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.num_threads > limit:
            library.set_num_threads(limit)
    if "cv2" in sys.modules and sys.modules["cv2"].getNumThreads() > limit:
        sys.modules["cv2"].setNumThreads(limit)
    if "torch" in sys.modules and sys.modules["torch"].get_num_threads() > limit:
        sys.modules["torch"].set_num_threads(limit)


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """In the block, OpenCV works in one thread; processes are forked inside.

    A forked process has none of the other threads of OpenCV's pool, and would wait for them
    forever, as soon as it uses several threads or changes their number.  So it keeps to one.
    """
    opencv = sys.modules.get("cv2")
    before = opencv.getNumThreads() if opencv else 1
    if before > 1:
        opencv.setNumThreads(1)  # ends the others
    try:
        yield
    finally:
        if before > 1:
            opencv.setNumThreads(before)
