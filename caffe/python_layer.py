"""caffe.Layer: the base class of layers that users write in Python, as pycaffe has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe.blob import Blob
from caffe.proto.caffe_pb2 import LayerParameter


class BlobVector(list[Blob]):
    """`self.blobs` of a Python layer: a list of parameter blobs with pycaffe's add_blob."""

    device: torch.device | None = None  # the net's, once the layer belongs to one

    def add_blob(self, *shape: int) -> Blob:
        """Append a parameter blob of zeros of the given shape."""
        blob = Blob(shape, self.device)
        blob.keep_memory()
        self.append(blob)
        return blob


class PythonLayer:
    """Base class: override setup, reshape, forward and backward.

    Each is given lists of Blob, the net's own.  `forward` reads bottom[i].data and writes
    top[i].data.  `backward` reads top[i].diff, writes bottom[i].diff and adds to
    self.blobs[i].diff.  `self.param_str` is the prototxt's, `self.phase` is caffe.TRAIN or
    caffe.TEST.  `net.layers[i]` is the object itself, with all that it has kept.
    """

    type = "Python"

    def __init__(self, param: LayerParameter | None = None, phase: int = 0) -> None:
        self.param_str = param.python_param.param_str if param is not None else ""
        self.phase = phase
        self.blobs = BlobVector()

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        raise NotImplementedError

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        raise NotImplementedError
