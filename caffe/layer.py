"""The layer contract and the registry: one class a layer type, found by the `type` string of the prototxt."""

import torch

from caffe import filler as fillers
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

_registry = {}

# Caffe's types that are refused by name, with what is missing
NOT_SUPPORTED = {
    "WindowData": "the reader of window files is missing here; crop the windows and use ImageData or HDF5Data",
}


def register(type_name):
    """Class decorator: make a Layer class known under Caffe's type string; a second class of that name is refused."""

    def add(cls):
        if type_name in _registry:
            raise CaffeError(f"layer type '{type_name}' is registered twice: {_registry[type_name].__name__} and {cls.__name__}")
        cls.type = type_name
        _registry[type_name] = cls
        return cls

    return add


def layer_type_list():
    """Names of all registered layer types, sorted."""
    return sorted(_registry)


def create(param, net_name, device):
    """Make the layer that `param` (LayerParameter with phase) describes; an unknown type is a CaffeError."""
    if param.type in NOT_SUPPORTED:
        missing = NOT_SUPPORTED[param.type]
        raise CaffeError(f"{net_name}: layer '{param.name}': type '{param.type}' is not supported: {missing}")
    if param.type not in _registry:
        known = ", ".join(layer_type_list())
        raise CaffeError(f"{net_name}: layer '{param.name}' has the unknown type '{param.type}'; known types: {known}")
    return _registry[param.type](param, device)


class Layer:
    """Base of all layers.

    A subclass states how many bottoms and tops it takes, computes the tops' shapes in `reshape`, makes its parameters
    in `setup` with `add_blob`, and computes in `forward` with torch operations that autograd can follow.  Where Caffe's
    gradient is not autograd's, `forward` uses a torch.autograd.Function.

    Attributes
    ----------
    param : LayerParameter
    name : str
    phase : int
        caffe.TRAIN or caffe.TEST.
    blobs : list of Blob
        The parameters, in Caffe's order.
    params : list of torch.Tensor
        The parameters' data while `forward` runs; gradients are taken with respect to these.
    overwrites : bool
        Set by the net while `forward` runs: the layer is in place and may destroy its bottom.
    """

    type = None
    num_bottom = (1, 1)  # fewest, most (None: any number)
    num_top = (1, 1)
    is_loss = False  # the first top has loss_weight 1 by default
    can_overwrite = False  # `forward` heeds self.overwrites
    in_place = True  # a top may carry its bottom's name

    def __init__(self, param, device):
        self.param = param
        self.name = param.name
        self.phase = param.phase
        self.device = device
        self.blobs = []
        self.params = []
        self.overwrites = False

    # ------------------------------------------------------------------------------------------- to be overridden
    def setup(self, shapes):
        """Check the settings and make the parameters; `shapes` are the bottoms' shapes."""

    def reshape(self, shapes):
        """Return the tops' shapes (list of tuples) for the bottoms' shapes; called again whenever those change."""
        raise NotImplementedError

    def forward(self, *bottoms):
        """Return the top tensor, or a sequence of them."""
        raise NotImplementedError

    def allow_force_backward(self, index):
        """Whether `force_backward` of the net may ask for the gradient of bottom `index`."""
        return True

    def first_tops(self):
        """What the tops hold before the first forward (tensors, in order); nothing: zeros."""
        return ()

    def auto_top_blobs(self):
        """Whether missing tops are made up (losses are: Caffe's AutoTopBlobs)."""
        return self.is_loss

    def default_loss_weight(self, index):
        return 1.0 if self.is_loss and index == 0 else 0.0

    # ---------------------------------------------------------------------------------------------------- helpers
    @property
    def train(self):
        return self.phase == caffe_pb2.TRAIN

    def fail(self, what):
        """Raise CaffeError naming this layer."""
        raise CaffeError(f"layer '{self.name}' ({self.type}): {what}")

    def check_counts(self, bottoms, tops):
        """Refuse a number of bottoms or tops that the type does not take."""
        for word, count, (least, most) in (("bottom", bottoms, self.num_bottom), ("top", tops, self.num_top)):
            if count < least or (most is not None and count > most):
                wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
                self.fail(f"takes {wanted} {word} blob(s), the prototxt gives {count}")
        if not self.in_place and set(self.param.top) & set(self.param.bottom):
            self.fail("does not work in place; give the top another name than the bottom's")

    def axis(self, index, shape, field="axis"):
        """An axis index, negative ones counted from the end; out of range is an error naming the field."""
        if not -len(shape) <= index < len(shape):
            self.fail(f"{field} {index} is out of range for a blob of shape {shape}")
        return index % len(shape)

    def add_blob(self, shape, filler=None):
        """Append a parameter blob of `shape`, filled by `filler` (FillerParameter; None: zeros)."""
        blob = Blob(shape, self.device)
        where = f"layer '{self.name}' ({self.type}), blob {len(self.blobs)}"
        if filler is not None:
            values = torch.empty(tuple(shape))  # drawn on the CPU: the same seed gives the same net on every device
            fillers.fill(values, filler, where)
            blob.tensor().copy_(values)
        blob.tensor()
        blob._data.persistent = True
        self.blobs.append(blob)
        return blob
