"""caffe.Layer: the base class of layers that users write in Python, as pycaffe has it."""

from caffe.blob import Blob


class BlobVector(list):
    """`self.blobs` of a Python layer: a list of parameter blobs with pycaffe's add_blob."""

    device = None  # the net's, once the layer is in one

    def add_blob(self, *shape):
        """Append a parameter blob of zeros of the given shape."""
        blob = Blob(shape, self.device)
        blob.keep_memory()
        self.append(blob)
        return blob


class PythonLayer:
    """Base class: override setup, reshape, forward and backward.

    Each gets lists of Blob; `forward` reads bottom[i].data and writes top[i].data, `backward` reads
    top[i].diff and writes bottom[i].diff (and adds to self.blobs[i].diff).  The blobs are the net's
    own.  `self.param_str` is the prototxt's, `self.phase` caffe.TRAIN or caffe.TEST.
    `net.layers[i]` is the object itself, with all that it has kept.
    """

    type = "Python"

    def __init__(self, param=None, phase=0):
        self.param_str = param.python_param.param_str if param is not None else ""
        self.phase = phase
        self.blobs = BlobVector()

    def setup(self, bottom, top):
        raise NotImplementedError

    def reshape(self, bottom, top):
        raise NotImplementedError

    def forward(self, bottom, top):
        raise NotImplementedError

    def backward(self, top, propagate_down, bottom):
        raise NotImplementedError
