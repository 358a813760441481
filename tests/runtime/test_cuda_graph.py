"""What CudaGraphs asks of PyTorch's CUDA, which stand-ins note that have PyTorch's signatures."""

import inspect
from contextlib import contextmanager

import pytest
import torch

from caffe import captured_iteration, cuda_graph
from caffe.cuda_graph import CudaGraphs

DEVICE = torch.device("cuda", 1)
GRAPH = inspect.signature(torch.cuda.graph.__init__)


class Streams:
    """A GPU with streams; `said` is what happened, in order."""

    def __init__(self):
        self.said, self.current = [], "default"
        self.fails_at_end = False

    def stream(self, device, priority=0):
        assert device == DEVICE
        names = {-1: "work", 0: "side"}
        return Stream(self, names[priority])

    @contextmanager
    def using(self, stream):
        before, self.current = self.current, stream.name
        yield
        self.current = before

    @contextmanager
    def graph(self, *args, **keywords):
        given = GRAPH.bind(None, *args, **keywords).arguments
        assert given["capture_error_mode"] == "thread_local"
        self.said.append(f"capture on {given['stream'].name} with {given['pool']}")
        self.current = given["stream"].name  # as PyTorch, which leaves it so after a failure
        try:
            yield
        finally:
            if self.fails_at_end:
                raise RuntimeError("the capture was invalidated")
        self.current = "default"


class Stream:
    def __init__(self, gpu, name):
        self.gpu, self.name = gpu, name

    def wait_stream(self, other):
        self.gpu.said.append(f"{self.name} waits for {other.name}")


class Graph:
    def __init__(self):
        self.resets = 0

    def replay(self):
        """Nothing is to be done."""

    def reset(self):
        self.resets += 1


class Generator:
    def __init__(self):
        self.state = "of the capture"

    def clone_state(self):
        return "a copy"

    def graphsafe_set_state(self, state):
        self.state = state


@pytest.fixture
def gpu(monkeypatch):
    gpu, pools = Streams(), iter([(0, 1), (0, 2), (0, 3)])
    generators = [Generator(), Generator()]
    gpu.generator = generators[DEVICE.index]
    default = Stream(gpu, "default")
    for name, stand_in in {
        "Stream": gpu.stream,
        "stream": gpu.using,
        "graph": gpu.graph,
        "CUDAGraph": Graph,
        "current_stream": lambda _: default,
        "graph_pool_handle": lambda: next(pools),
        "set_stream": lambda stream: setattr(gpu, "current", stream.name),
        "default_generators": generators,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        monkeypatch.setattr(
            torch._C,
            name,
            lambda index, pool, name=name: gpu.said.append(f"{name} {index} {pool}"),
            raising=False,
        )
    return gpu


def test_graphs_share_a_pool_until_they_are_forgotten(gpu):
    """PyTorch refuses a pool whose graphs are all gone, so the next graph gets a new one."""
    graphs = CudaGraphs(DEVICE)
    first, second = graphs.record(lambda: None), graphs.record(lambda: None)
    assert first != second
    graphs.forget()
    assert first.__self__.resets == second.__self__.resets == 1
    graphs.record(lambda: None)
    assert gpu.said == [f"capture on work with (0, {n})" for n in (1, 1, 2)]
    assert gpu.current == "default"
    assert gpu.generator.state == "of the capture"  # nothing was cleaned up


def test_work_beside_other_work_waits_for_what_came_before(gpu):
    graphs, seen = CudaGraphs(DEVICE), []

    def function():
        with graphs.beside():
            seen.append(gpu.current)
        seen.append(gpu.current)
        graphs.join()

    graphs.record(function)
    assert seen == ["side", "work"]
    assert gpu.said[1:] == ["side waits for work", "work waits for side"]


def test_a_failed_capture_leaves_nothing_behind(gpu):
    """And the error that is told is the first one, not that of the end of the capture."""
    graphs, gpu.fails_at_end = CudaGraphs(DEVICE), True

    def function():
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    with pytest.raises(RuntimeError, match="invalidated") as caught:
        graphs.record(function)
    first = "operation not permitted when stream is capturing"
    assert captured_iteration._first_line(caught.value) == first
    assert gpu.current == "default"
    assert gpu.said[1:] == ["_cuda_endAllocateToPool 1 (0, 1)", "_cuda_releasePool 1 (0, 1)"]
    assert gpu.generator.state == "a copy"


def test_a_pool_that_the_capture_has_given_back_is_not_given_back_twice(gpu, monkeypatch):
    """The capture itself could be ended, but the function has failed."""

    def ended(index, pool):
        raise RuntimeError("endAllocatePool: not currently recording to mempool_id")

    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", ended)
    graphs = CudaGraphs(DEVICE)
    with pytest.raises(ZeroDivisionError):
        graphs.record(lambda: 1 / 0)
    assert gpu.said == ["capture on work with (0, 1)"]
    assert gpu.generator.state == "a copy"


@pytest.mark.parametrize("on", [True, False])
def test_cudnn_tries_its_algorithms_where_it_may(on):
    before = torch.backends.cudnn.benchmark
    cuda_graph.try_algorithms(on)
    try:
        with cuda_graph.trying_algorithms():
            assert torch.backends.cudnn.benchmark is on
    finally:
        cuda_graph.try_algorithms(True)
    assert torch.backends.cudnn.benchmark is before


def test_the_names_that_are_used_exist():
    """Private ones of PyTorch, which may change; where one is missing, a test tells."""
    for name in ("clone_state", "graphsafe_set_state"):
        assert hasattr(torch.Generator, name)
    for name in ("_sleep", "graph_pool_handle", "default_generators", "set_sync_debug_mode"):
        assert hasattr(torch.cuda, name)
    assert {"pool", "stream", "capture_error_mode"} <= set(GRAPH.parameters)
    assert "priority" in inspect.signature(torch.cuda.Stream.__new__).parameters
