"""Blob: an N-d float32 array and its diff, on the net's device, with live NumPy views (Caffe's Blob and SyncedMemory)."""

import math

import torch

from caffe.error import CaffeError


class Memory:
    """One array: a tensor on the device, and for NumPy the same memory (CPU) or a host copy (GPU).

    The array comes into being when it is first asked for.  A value that a net computed is taken over without a copy
    until somebody has seen a NumPy view of the memory; from then on values are copied into that same memory, so that
    the view stays live.
    """

    __slots__ = ("shape", "device", "value", "host", "host_is_newer", "persistent")

    def __init__(self, shape, device):
        self.shape = tuple(shape)
        self.device = device
        self.value = None
        self.host = None
        self.host_is_newer = False
        self.persistent = False

    def tensor(self):
        """The array as a torch tensor on the device; zeros if it was never written."""
        if self.value is None:
            self.value = torch.zeros(self.shape, device=self.device)
        elif self.host_is_newer:
            self.value.copy_(self.host)
            self.host_is_newer = False
        return self.value

    def put(self, tensor):
        """Take `tensor` (any strides) as the new value."""
        self.host_is_newer = False
        if self.value is not None and self.persistent and self.value.shape == tensor.shape:
            if self.value.data_ptr() != tensor.data_ptr():
                self.value.copy_(tensor)
        else:
            self.value = tensor

    def numpy(self):
        """A writable NumPy view, float32, C-contiguous; what is written there is seen by the next computation."""
        value = self.tensor()
        self.persistent = True
        if not value.is_contiguous():
            value = self.value = value.contiguous()
        if value.device.type == "cpu":
            return value.numpy()
        if self.host is None or self.host.shape != value.shape:
            self.host = torch.empty(value.shape, dtype=value.dtype)
        self.host.copy_(value)
        self.host_is_newer = True
        return self.host.numpy()

    def reshape(self, shape):
        if tuple(shape) == self.shape:
            return
        self.tensor_or_drop(shape)
        self.shape = tuple(shape)

    def tensor_or_drop(self, shape):
        if self.value is None:
            return
        value = self.tensor()
        if value.numel() == math.prod(shape):
            self.value = value.contiguous().view(shape)
        else:
            self.value = None
        self.host = None


class Blob:
    """Caffe's unit of data: `data` and `diff`, both float32 of the same shape (N, C, H, W for images).

    Parameters
    ----------
    shape : sequence of int
        Up to 32 axes; () is one number.
    device : torch.device
    """

    MAX_AXES = 32

    def __init__(self, shape=(), device=None):
        device = device or torch.device("cpu")
        self._data = Memory(shape, device)
        self._diff = Memory(shape, device)

    # -------------------------------------------------------------------------------------------- pycaffe's attributes
    @property
    def data(self):
        """ndarray of float32 of the blob's shape: a live view, writable in place."""
        return self._data.numpy()

    @property
    def diff(self):
        """ndarray of float32 of the blob's shape: a live view, writable in place."""
        return self._diff.numpy()

    @property
    def shape(self):
        """Tuple of int."""
        return self._data.shape

    @property
    def count(self):
        """Number of elements."""
        return math.prod(self.shape)

    def _legacy_axis(self, index):
        if len(self.shape) > 4:
            raise CaffeError(f"num, channels, height and width are for blobs of up to 4 axes, this one has {self.shape}")
        return self.shape[index] if index < len(self.shape) else 1

    @property
    def num(self):
        return self._legacy_axis(0)

    @property
    def channels(self):
        return self._legacy_axis(1)

    @property
    def height(self):
        return self._legacy_axis(2)

    @property
    def width(self):
        return self._legacy_axis(3)

    def reshape(self, *shape):
        """Change the shape; the contents stay if the count does, else they are zeros."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        shape = tuple(int(d) for d in shape)
        if len(shape) > self.MAX_AXES or any(d < 0 for d in shape):
            raise CaffeError(f"a blob cannot have the shape {shape}: at most {self.MAX_AXES} axes, none negative")
        self._data.reshape(shape)
        self._diff.reshape(shape)

    # ------------------------------------------------------------------------------------------------ for the runtime
    def tensor(self):
        """`data` as a torch tensor on the device."""
        return self._data.tensor()

    def diff_tensor(self):
        """`diff` as a torch tensor on the device."""
        return self._diff.tensor()

    def put(self, tensor):
        """Take a computed tensor as `data`, and its shape."""
        if tuple(tensor.shape) != self.shape:
            self.reshape(*tensor.shape)
        self._data.put(tensor)

    def put_diff(self, tensor):
        """Take a computed tensor as `diff`."""
        self._diff.put(tensor)

    def share_data(self, other):
        """Use `other`'s data memory from now on (Caffe: ShareData)."""
        self._data = other._data

    def share_diff(self, other):
        """Use `other`'s diff memory from now on (Caffe: ShareDiff)."""
        self._diff = other._diff

    def __repr__(self):
        return f"<caffe.Blob {'x'.join(map(str, self.shape)) or 'scalar'}>"
