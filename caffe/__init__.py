"""Caffe on PyTorch: Caffe's own files (prototxt, solver, LMDB, .caffemodel, .solverstate) run here, with pycaffe's names."""

from caffe import io, layers
from caffe.classifier import Classifier
from caffe.detector import Detector
from caffe.error import CaffeError
from caffe.layer import layer_type_list
from caffe.mode import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from caffe.net_spec import NetSpec, params, to_proto
from caffe.pycaffe import TEST, TRAIN, Net
from caffe.python_layer import PythonLayer as Layer
from caffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)

__all__ = [
    "to_proto",
    "params",
    "layers",
    "io",
    "NetSpec",
    "Detector",
    "Classifier",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "CaffeError",
    "Layer",
    "Net",
    "NesterovSolver",
    "RMSPropSolver",
    "SGDSolver",
    "TEST",
    "TRAIN",
    "get_solver",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]
