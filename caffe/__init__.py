"""Caffe on PyTorch: runs Caffe's own files (prototxt, LMDB, .caffemodel) under pycaffe's names.

A name is loaded when it is first used.  So a program that only reads prototxts or LMDBs does not
wait for PyTorch, which takes seconds to load.
"""

import importlib
import importlib.util
from typing import Any

from caffe import waiting
from caffe.interrupt import quiet_start

quiet_start()  # before the imports that take seconds
waiting.when_torch_is_loaded()

# {name: the module that has it; empty if it is a module itself}
_PLACES = {
    "NCCL": "parallel",
    "TEST": "pycaffe",
    "TRAIN": "pycaffe",
    "AdaDeltaSolver": "solver_types",
    "AdaGradSolver": "solver_types",
    "AdamSolver": "solver_types",
    "CaffeError": "error",
    "Classifier": "classifier",
    "Detector": "detector",
    "Layer": "python_layer",
    "NesterovSolver": "solver_types",
    "Net": "pycaffe",
    "NetSpec": "net_spec",
    "RMSPropSolver": "solver_types",
    "SGDSolver": "solver_types",
    "Timer": "parallel",
    "__version__": "command_line",
    "get_solver": "solver_types",
    "has_nccl": "processes",
    "init_log": "log",
    "io": "",
    "layer_type_list": "layer_factory",
    "layers": "",
    "log": "",
    "params": "net_spec",
    "set_device": "mode",
    "set_mode_cpu": "mode",
    "set_mode_gpu": "mode",
    "set_multiprocess": "mode",
    "set_precision": "precision",
    "set_random_seed": "mode",
    "set_solver_count": "mode",
    "set_solver_rank": "mode",
    "solver_count": "mode",
    "solver_rank": "mode",
    "to_proto": "net_spec",
}
_NAMES_THERE = {"Layer": "PythonLayer", "__version__": "VERSION"}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    """Load one of pycaffe's names, or a module of this package, when it is first used."""
    if place := _PLACES.get(name):
        module = importlib.import_module(f"caffe.{place}")
        found = globals()[name] = getattr(module, _NAMES_THERE.get(name, name))
        return found
    if not name.startswith("_") and importlib.util.find_spec(f"caffe.{name}"):
        return importlib.import_module(f"caffe.{name}")
    raise AttributeError(f"module 'caffe' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
