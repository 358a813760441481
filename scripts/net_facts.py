"""What the chain must know of a net and its solver.

A part of chain.py.
"""

from pathlib import Path

from caffe import prototxt
from caffe.proto.caffe_pb2 import SolverParameter
from texttopicnet import images


def crop_of(path: Path) -> int:
    """Side in pixels of a net's input; CaffeNet's if its train_val.prototxt does not say."""
    layers = prototxt.read_net(path).layer if path.is_file() else []
    crops = (layer.transform_param.crop_size for layer in layers)
    return next(filter(None, crops), images.CROP)


def gpu_exists() -> bool:
    """Whether PyTorch finds a GPU; PyTorch takes seconds to load, so ask only where it matters."""
    from caffe import mode

    return mode.gpu_exists()


def wants_gpu(solver: Path) -> bool:
    """Whether a solver says solver_mode: GPU."""
    return solver.is_file() and prototxt.read_solver(solver).solver_mode == SolverParameter.GPU
