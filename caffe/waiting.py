"""How the threads of a computation wait for each other, on machines that do other work, too.

PyTorch computes in OpenMP's threads.  A thread that is done with its part waits for the others in a
loop, for several milliseconds, before it sleeps.  That is fast if there is a core per thread.  If
another program has one of the cores, the waiting threads use up the time that the last one needs,
and training takes many times as long.  So they should sleep sooner.

OpenMP's library reads its settings from the environment when PyTorch loads it, and never again.
They are therefore set while PyTorch is imported, and removed afterwards: neither the program that
imports caffe nor the processes that it starts see them.  `benchmarks/busy.py` measures the effect.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

# GNU's library looks this often before it sleeps; Intel's and LLVM's sleep at once
POLICY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
INTELS = ("KMP_BLOCKTIME", "KMP_LIBRARY")  # how Intel's and LLVM's library waits


@contextlib.contextmanager
def short() -> Iterator[None]:
    """In the block, the libraries that are loaded are told to wait briefly and then sleep.

    Nothing happens if PyTorch is loaded already, or if the user has chosen how to wait.
    """
    chosen = any(name in os.environ for name in (*POLICY, *INTELS))
    if "torch" in sys.modules or chosen:
        yield
        return
    os.environ.update(POLICY)
    try:
        yield
    finally:
        for name in POLICY:
            os.environ.pop(name, None)
