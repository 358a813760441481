"""Caffe on PyTorch: runs Caffe's own files (prototxt, LMDB, .caffemodel) under pycaffe's names."""

# ruff: noqa: E402
from caffe import waiting
from caffe.interrupt import quiet_start

quiet_start()  # before the imports that take seconds

with waiting.short():
    import torch  # noqa: F401  the rest of the package finds it loaded

from caffe import io, layers, log
from caffe.classifier import Classifier
from caffe.command_line import VERSION as __version__
from caffe.detector import Detector
from caffe.error import CaffeError
from caffe.layer import layer_type_list
from caffe.log import init_log
from caffe.mode import (
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from caffe.net_spec import NetSpec, params, to_proto
from caffe.parallel import NCCL, Timer, has_nccl
from caffe.precision import set_precision
from caffe.pycaffe import TEST, TRAIN, Net
from caffe.python_layer import PythonLayer as Layer
from caffe.solver_types import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "CaffeError",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "__version__",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_precision",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
