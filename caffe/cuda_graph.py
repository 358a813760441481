"""Recording work on a GPU as CUDA graphs, and a twin without a GPU that does the work again.

A CUDA graph replays kernels at fixed addresses.  Whatever Python computed when the graph was
captured is not computed again.  A function that can be captured therefore communicates only through
tensors that exist before it runs, and it gives the same results when it is simply called again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Protocol

import torch

Function = Callable[[], None]


class Recorder(Protocol):
    """What a captured iteration needs of a device."""

    def warm_up(self) -> AbstractContextManager[None]:
        """A context in which functions run as they will when they are captured."""

    def record(self, function: Function) -> Function:
        """Capture a function without running it; return what runs it."""

    def forget(self) -> None:
        """Give back the memory of all recorded functions, which must not run again."""

    def reading(self) -> AbstractContextManager[None]:
        """A context in which the next batch may come to the device while it still computes."""

    def take_over(self, tensors: Sequence[torch.Tensor]) -> None:
        """Let the following work wait for tensors that were made in `reading`."""


class CallAgain:
    """The twin without a GPU: a recorded function is called again."""

    def warm_up(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, function: Function) -> Function:
        return function

    def forget(self) -> None:
        """There is nothing to give back."""

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def take_over(self, tensors: Sequence[torch.Tensor]) -> None:
        """The tensors are there."""


class CudaGraphs:
    """CUDA graphs that share their memory, because they run one after the other.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: list[torch.cuda.CUDAGraph] = []

    @cached_property
    def _work(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @cached_property
    def _copies(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Libraries prepare themselves, and cuDNN tries its algorithms, on the capture stream."""
        current = torch.cuda.current_stream(self.device)
        self._work.wait_stream(current)
        with torch.cuda.stream(self._work), self._trying_algorithms():
            yield
        current.wait_stream(self._work)

    @contextmanager
    def _trying_algorithms(self) -> Iterator[None]:
        before = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = before

    def record(self, function: Function) -> Function:
        graph = torch.cuda.CUDAGraph()
        pool = self._graphs[0].pool() if self._graphs else None
        # thread_local: the threads that read data may pin memory meanwhile
        with (
            self._trying_algorithms(),
            torch.cuda.graph(
                graph, pool=pool, stream=self._work, capture_error_mode="thread_local"
            ),
        ):
            function()
        self._graphs.append(graph)
        return graph.replay

    def forget(self) -> None:
        for graph in self._graphs:
            graph.reset()
        self._graphs.clear()

    def reading(self) -> AbstractContextManager[None]:
        return torch.cuda.stream(self._copies)

    def take_over(self, tensors: Sequence[torch.Tensor]) -> None:
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._copies)
        for tensor in tensors:
            tensor.record_stream(current)


def recorder_of(device: torch.device) -> Recorder | None:
    """The recorder of a device; None if there is nothing to gain, on the CPU."""
    return CudaGraphs(device) if device.type == "cuda" else None
