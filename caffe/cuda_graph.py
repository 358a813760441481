"""Recording work on a GPU as CUDA graphs, and a twin without a GPU that does the work again.

A CUDA graph replays kernels at fixed addresses.  Whatever Python computed when the graph was
captured is not computed again.  A function that can be captured therefore communicates only through
tensors that exist before it runs, and it gives the same results when it is simply called again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from typing import Protocol

import torch

Function = Callable[[], None]
Lapse = Callable[[], float | None]  # the seconds of some work; None while it is not done
_state = {"tries algorithms": True}


def try_algorithms(on: bool) -> None:
    """Whether cuDNN may try its algorithms from now on; else it takes the one it holds for best."""
    _state["tries algorithms"] = on


@contextmanager
def trying_algorithms() -> Iterator[None]:
    """In the block, cuDNN tries its algorithms for every new shape, and keeps the fastest."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = _state["tries algorithms"]
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


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

    def beside(self) -> AbstractContextManager[None]:
        """A context for work that comes after all work so far, and beside what follows.

        It is for functions that run in `warm_up` or are recorded.  The tensors that the work uses
        must be kept until `join`.
        """

    def join(self) -> None:
        """Let the following work wait for what was done in `beside`, which there must have been."""

    def timed(self, function: Function) -> Lapse:
        """Run a function; what is returned tells how long the device took, and never waits."""


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

    def beside(self) -> AbstractContextManager[None]:
        return nullcontext()

    def join(self) -> None:
        """The work is done."""

    def timed(self, function: Function) -> Lapse:
        start = time.perf_counter()
        function()
        took = time.perf_counter() - start
        return lambda: took


class CudaGraphs:
    """CUDA graphs that share their memory, because they run one after the other.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: list[torch.cuda.CUDAGraph] = []
        self._pool: tuple[int, int] | None = None  # of the graphs' memory

    @cached_property
    def _work(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device, priority=-1)  # what runs beside it takes what is left

    @cached_property
    def _side(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @cached_property
    def _copies(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        """Libraries prepare themselves, and cuDNN tries its algorithms, on the capture stream."""
        current = torch.cuda.current_stream(self.device)
        self._work.wait_stream(current)
        with torch.cuda.stream(self._work), trying_algorithms():
            yield
        current.wait_stream(self._work)

    def record(self, function: Function) -> Function:
        graph = torch.cuda.CUDAGraph()
        if not self._graphs:
            self._pool = torch.cuda.graph_pool_handle()
        current = torch.cuda.current_stream(self.device)
        try:
            # thread_local: the threads that read data may pin memory meanwhile
            with (
                trying_algorithms(),
                torch.cuda.graph(
                    graph, pool=self._pool, stream=self._work, capture_error_mode="thread_local"
                ),
            ):
                function()
        except BaseException:
            self._clean_up(current)
            raise
        self._graphs.append(graph)
        return graph.replay

    def _clean_up(self, current: torch.cuda.Stream) -> None:
        """Undo what a failed capture leaves behind, so that work without a graph can go on.

        PyTorch then stays on the capture's stream, keeps memory back for the capture, and refuses
        random numbers, because its generator still belongs to the capture.
        """
        torch.cuda.set_stream(current)
        index = self.device.index
        # RuntimeError: the capture has ended, and failed before; AttributeError: another PyTorch
        with suppress(RuntimeError, AttributeError):
            torch._C._cuda_endAllocateToPool(index, self._pool)
            torch._C._cuda_releasePool(index, self._pool)
        with suppress(RuntimeError, AttributeError):
            generator = torch.cuda.default_generators[index]
            generator.graphsafe_set_state(generator.clone_state())

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

    @contextmanager
    def beside(self) -> Iterator[None]:
        # backward, whose hooks come here, has a thread with a current stream of its own
        self._side.wait_stream(self._work)
        with torch.cuda.stream(self._side):
            yield

    def join(self) -> None:
        self._work.wait_stream(self._side)

    def timed(self, function: Function) -> Lapse:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        stream = torch.cuda.current_stream(self.device)
        begin.record(stream)
        function()
        end.record(stream)
        return lambda: begin.elapsed_time(end) / 1000 if end.query() else None


def recorder_of(device: torch.device) -> Recorder | None:
    """The recorder of a device; None if there is nothing to gain, on the CPU."""
    return CudaGraphs(device) if device.type == "cuda" else None
