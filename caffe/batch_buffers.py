"""Memory for batches that is used again and again, page-locked where batches travel to a GPU."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch


class BatchBuffers:
    """Arrays that a reader fills, and that return by themselves when nothing uses them any more.

    An array is handed out again once nothing else refers to it, neither a tensor nor a view, and a
    copy to the GPU has ended.  So what a program keeps of a batch is never overwritten.

    Parameters
    ----------
    device : torch.device
        Where the batches go; for CUDA the arrays are page-locked.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._buffers: list[_Buffer] = []

    def __len__(self) -> int:
        return len(self._buffers)

    def get(self, shape: Sequence[int], dtype: type | np.dtype) -> np.ndarray:
        """An array of this shape and type, with any values; free ones of another kind are dropped."""
        shape, dtype = tuple(shape), np.dtype(dtype)
        free = [buffer for buffer in self._buffers if buffer.free()]
        for buffer in free:
            if buffer.array.shape == shape and buffer.array.dtype == dtype:
                return buffer.array
        # keep none of another shape, which would add up where every batch has a shape of its own
        self._buffers = [buffer for buffer in self._buffers if buffer not in free]
        self._buffers.append(_Buffer(shape, dtype, self.device))
        return self._buffers[-1].array

    def to_device(self, array: np.ndarray) -> torch.Tensor:
        """An array of `get` as a tensor on the device: itself on the CPU, a copy on a GPU.

        The copy is asynchronous, in the current stream.
        """
        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor
        tensor = tensor.to(self.device, non_blocking=True)
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(self.device))
        self.copied(array, event)
        return tensor

    def copied(self, array: np.ndarray, event: torch.cuda.Event) -> None:
        """Keep an array of `get` until the event at the end of its copy has happened."""
        for buffer in self._buffers:
            if buffer.array is array:
                buffer.copied = event


class _Buffer:
    """One array, and the end of its last copy to a GPU."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, device: torch.device) -> None:
        kind = torch.from_numpy(np.empty(0, dtype)).dtype
        self.array = torch.empty(shape, dtype=kind, pin_memory=device.type == "cuda").numpy()
        self.copied: torch.cuda.Event | None = None
        self._own = self._references()

    def _references(self) -> int:
        return sys.getrefcount(self.array)

    def free(self) -> bool:
        """Whether nothing refers to the array any more, and no copy reads it."""
        return self._references() <= self._own and (self.copied is None or self.copied.query())
