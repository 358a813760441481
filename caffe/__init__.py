"""Caffe on PyTorch: Caffe's own files (prototxt, solver, LMDB, .caffemodel, .solverstate) run here, with pycaffe's names."""

from caffe.error import CaffeError
from caffe.layer import layer_type_list
from caffe.mode import set_device, set_mode_cpu, set_mode_gpu, set_random_seed
from caffe.pycaffe import TEST, TRAIN, Net
from caffe.python_layer import PythonLayer as Layer

__all__ = [
    "CaffeError",
    "Layer",
    "Net",
    "TEST",
    "TRAIN",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
]
