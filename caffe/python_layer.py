"""caffe.Layer: the base class of layers that users write in Python, as pycaffe has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe import mode
from caffe.blob import Blob
from caffe.proto.caffe_pb2 import LayerParameter


class BlobVector(list[Blob]):
    """`self.blobs` of a Python layer: a list of parameter blobs with pycaffe's add_blob."""

    device: torch.device | None = None  # the net's, once the layer belongs to one

    def add_blob(self, *shape: int) -> Blob:
        """Append a parameter blob of zeros of the given shape."""
        blob = Blob(shape, self.device or mode.device())
        blob.keep_memory()
        self.append(blob)
        return blob


class PythonLayer:
    """Base class: override setup, reshape, forward and backward.

    Each receives the net's own blobs, as lists of Blob.  `self.param_str` is the string from the
    prototxt, `self.phase` is caffe.TRAIN or caffe.TEST.  `net.layers[i]` is the layer object
    itself, with all its attributes.
    """

    type = "Python"

    def __init__(self, param: LayerParameter | None = None, phase: int = 0) -> None:
        self.param_str = param.python_param.param_str if param is not None else ""
        self.phase = phase
        self.blobs = BlobVector()

    @property
    def param_str_(self) -> str:
        """The name that `param_str` has in older forks, such as py-faster-rcnn's."""
        return self.param_str

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check the settings and make the parameters; called once."""
        raise NotImplementedError

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their shapes (`top[i].reshape(...)`); called before every forward."""
        raise NotImplementedError

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read `bottom[i].data` and write `top[i].data`."""
        raise NotImplementedError

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Read `top[i].diff`, write `bottom[i].diff` and add to `self.blobs[i].diff`.

        `propagate_down[i]` is False for a bottom that needs no gradient.
        """
        raise NotImplementedError
