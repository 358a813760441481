"""How the threads of a computation wait for each other, on machines that do other work, too.

PyTorch computes in OpenMP's threads.  A thread that is done with its part waits for the others in a
loop, for several milliseconds, before it sleeps.  That is fast if there is a core per thread.  If
another program has one of the cores, the waiting threads may use up the time that the last one
needs.  So they should sleep sooner.

OpenMP's library reads its settings from the environment when PyTorch loads it, and never again.
Once caffe is imported, they are therefore set while PyTorch is loaded, by whatever module, and
removed afterwards: neither the program that imports caffe nor the processes that it starts see
them.  `benchmarks/busy.py` measures the effect.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

# GNU's library looks this often before it sleeps; Intel's and LLVM's sleep at once
POLICY = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
INTELS = ("KMP_BLOCKTIME", "KMP_LIBRARY")  # how Intel's and LLVM's library waits


def when_torch_is_loaded() -> None:
    """Have PyTorch loaded inside `short` when a module imports it for the first time."""
    if "torch" not in sys.modules and not any(isinstance(f, _Watch) for f in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch(importlib.abc.MetaPathFinder):
    """Sees that PyTorch is about to be loaded; it finds nothing by itself."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_inside(module: ModuleType) -> None:
                with short():
                    load(module)

            spec.loader.exec_module = load_inside
        return spec


@contextlib.contextmanager
def short() -> Iterator[None]:
    """In the block, libraries that are loaded are told to wait briefly and then sleep.

    Nothing happens if the user has chosen how to wait.
    """
    if any(name in os.environ for name in (*POLICY, *INTELS)):
        yield
        return
    os.environ.update(POLICY)
    try:
        yield
    finally:
        for name in POLICY:
            os.environ.pop(name, None)
