"""Blob: an N-d float32 array and its diff, with live NumPy views (Caffe: Blob, SyncedMemory)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from caffe import allocation
from caffe.error import CaffeError
from caffe.wire import MAX_AXES, MAX_INT


class Memory:
    """One array: a tensor on the device, and for NumPy the same memory (CPU) or a host copy (GPU).

    Several blobs may share it, each with a shape of its own; a blob of fewer elements uses the
    front.  The array is made when it is first asked for.  A value that a net has computed is taken
    over without a copy, until the first NumPy view of the memory is handed out.  From then on
    values are copied into that same memory, so that the view stays live.
    """

    __slots__ = ("device", "host", "host_is_newer", "persistent", "value")

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.value: torch.Tensor | None = None
        self.host: torch.Tensor | None = None
        self.host_is_newer = False
        self.persistent = False

    def holds(self, count: int) -> bool:
        """Whether `count` elements fit without new memory."""
        return self.value is None or self.value.numel() >= count

    def tensor(self, shape: Sequence[int]) -> torch.Tensor:
        """The array as a torch tensor of `shape` on the device; zeros if it was never written."""
        if self.value is None:
            with allocation.enough_for(f"a blob of shape {tuple(shape)}", "its shape"):
                self.value = torch.zeros(shape, device=self.device)
        elif self.host_is_newer:
            # .data, so that a graph that holds the tensor does not see a new version of it
            self.value.data.copy_(self.host)
            self.host_is_newer = False
        if tuple(self.value.shape) == tuple(shape):
            return self.value
        if not self.holds(math.prod(shape)):  # another blob has put fewer elements into the memory
            grown = torch.zeros(math.prod(shape), device=self.device)
            grown[: self.value.numel()] = self.value.reshape(-1)
            self.value = grown
        return _front(self._contiguous(), shape)

    def _contiguous(self) -> torch.Tensor:
        self.value = self.value.contiguous()
        return self.value

    def put(self, tensor: torch.Tensor) -> None:
        """Take `tensor` (any strides) as the new value."""
        self.host_is_newer = False
        if 0 in tensor.stride():  # one number spread over many elements
            tensor = tensor.contiguous()
        if self.value is not None and self.persistent and self.holds(tensor.numel()):
            target = self.tensor(tensor.shape)
            if target.data_ptr() != tensor.data_ptr():
                target.copy_(tensor)
        else:
            self.value = tensor

    def forget(self) -> bool:
        """Drop the value, unless someone may hold a view of it; return whether it was dropped."""
        if not self.persistent:
            self.value = None
        return not self.persistent

    def numpy(self, shape: Sequence[int]) -> np.ndarray:
        """A writable NumPy view (float32, C-contiguous); the next computation sees its changes."""
        if self.value is None or not self.holds(math.prod(shape)):
            self.tensor(shape)
        self.persistent = True
        value = self._contiguous()
        if value.device.type == "cpu":
            return _front(value, shape).numpy()
        if self.host is None or self.host.shape != value.shape:
            self.host = torch.empty(value.shape, dtype=value.dtype)
            self.host_is_newer = False
        if not self.host_is_newer:
            self.host.copy_(value)
            self.host_is_newer = True
        return _front(self.host, shape).numpy()


def _front(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The first elements of a contiguous tensor, in `shape`."""
    return tensor.view(-1)[: math.prod(shape)].view(shape)


class Blob:
    """Caffe's unit of data: `data` and `diff`, float32 of one shape, (N, C, H, W) for images.

    Parameters
    ----------
    shape : sequence of int
        Up to 32 axes; () is one number.
    device : torch.device
    name : str
        The blob's name in its net; a parameter has none.
    """

    def __init__(
        self, shape: Sequence[int] = (), device: torch.device | None = None, name: str = ""
    ) -> None:
        self.name = name
        self._device = device or torch.device("cpu")
        self._shape = _checked(shape)
        self._data = Memory(self._device)
        self._diff = Memory(self._device)

    # ----------------------------------------------------------------------- pycaffe's attributes
    @property
    def data(self) -> np.ndarray:
        """ndarray of float32 of the blob's shape: a live view, writable in place."""
        return self._data.numpy(self._shape)

    @property
    def diff(self) -> np.ndarray:
        """ndarray of float32 of the blob's shape: a live view, writable in place."""
        return self._diff.numpy(self._shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Tuple of int."""
        return self._shape

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def _legacy_axis(self, index: int) -> int:
        if len(self.shape) > 4:
            raise CaffeError(
                "num, channels, height and width are for blobs of up to 4 axes, this one has"
                f" {self.shape}"
            )
        return self.shape[index] if index < len(self.shape) else 1

    @property
    def num(self) -> int:
        return self._legacy_axis(0)

    @property
    def channels(self) -> int:
        return self._legacy_axis(1)

    @property
    def height(self) -> int:
        return self._legacy_axis(2)

    @property
    def width(self) -> int:
        return self._legacy_axis(3)

    def reshape(self, *shape: int | Sequence[int]) -> None:
        """Change the shape, given as numbers or as one sequence.

        As in Caffe, a blob that fits into its memory keeps it; a larger one gets new memory, filled
        with zeros.

        Raises
        ------
        CaffeError
            More than 32 axes, a negative one, or more than 2^31 - 1 elements.
        """
        if len(shape) == 1 and hasattr(shape[0], "__len__"):
            shape = tuple(shape[0])
        self._shape = _checked(shape)
        if not self._data.holds(self.count):
            self._data = Memory(self._device)
        if not self._diff.holds(self.count):
            self._diff = Memory(self._device)

    # --------------------------------------------------------------------------- for the runtime
    def tensor(self) -> torch.Tensor:
        """`data` as a torch tensor on the device."""
        return self._data.tensor(self._shape)

    def diff_tensor(self) -> torch.Tensor:
        """`diff` as a torch tensor on the device."""
        return self._diff.tensor(self._shape)

    def put(self, tensor: torch.Tensor) -> None:
        """Take a computed tensor as `data`, and its shape."""
        if tuple(tensor.shape) != self.shape:
            self.reshape(*tensor.shape)
        self._data.put(tensor)

    def put_diff(self, tensor: torch.Tensor) -> None:
        """Take a computed tensor as `diff`."""
        self._diff.put(tensor)

    def add_diff(self, tensor: torch.Tensor) -> None:
        """Add a computed tensor to `diff`."""
        if self._diff.value is None:
            self._diff.put(tensor.contiguous())
        else:
            self.diff_tensor().add_(tensor)

    def spare_diff(self) -> torch.Tensor | None:
        """The memory of `diff`, if it is there in the blob's shape, for a value to be written into.

        Memory from the operating system costs more than writing into it again.
        """
        value = self._diff.value
        if value is None or value.shape != self.shape or not value.is_contiguous():
            return None
        return self.diff_tensor()

    def clear_diff(self) -> None:
        """Set `diff` to zeros."""
        if not self._diff.forget():
            self.diff_tensor().zero_()

    def keep_memory(self) -> None:
        """From now on copy new values of `data` into its current memory.

        Parameters need this, because nets share their memory.
        """
        self.tensor()
        self._data.persistent = True

    def shares_data(self, others: Iterable[Blob]) -> bool:
        """Whether one of `others` uses the same data memory."""
        return any(self._data is other._data for other in others)

    def forget(self) -> None:
        """Drop `data`, unless someone may hold a view of it."""
        self._data.forget()

    def share_data(self, other: Blob) -> None:
        """Use `other`'s data memory from now on (Caffe: ShareData)."""
        self._data = other._data

    def share_diff(self, other: Blob) -> None:
        """Use `other`'s diff memory from now on (Caffe: ShareDiff)."""
        self._diff = other._diff

    def __repr__(self) -> str:
        return f"<caffe.Blob {'x'.join(map(str, self.shape)) or 'scalar'}>"


def _checked(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape as a tuple of int; a shape that Caffe's blobs cannot have is refused."""
    shape = tuple(int(d) for d in shape)
    if len(shape) > MAX_AXES or any(d < 0 for d in shape):
        raise CaffeError(
            f"a blob cannot have the shape {shape}: at most {MAX_AXES} axes, none negative"
        )
    if math.prod(shape) > MAX_INT:
        raise CaffeError(
            f"a blob of shape {shape} would hold {math.prod(shape)} numbers; Caffe's hold"
            f" {MAX_INT} at most"
        )
    return shape
