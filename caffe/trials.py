"""Several ways to compute a layer on a GPU: the first pass tries them, and the fastest is kept.

Which way is the fastest depends on the GPU, the library and the shapes, so it is measured where the
training runs.  The ways differ by rounding only; one whose numbers are further from the first way's
is not taken.  In fp32, where numbers should be Caffe's, nothing is tried: the first way, which is
also that of the CPU, is always taken.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from caffe import cuda_graph, log

if TYPE_CHECKING:
    from caffe.net import NetCore

REPEATS = 3  # runs that are timed, after one that is not
IDLE = 20_000_000  # cycles, about 10 ms
TOLERANCE = 0.03  # of the largest number: products of tf32 and bfloat16 are rounded that much
Way = Callable[..., torch.Tensor]

_of_nets: weakref.WeakKeyDictionary[NetCore, Trials] = weakref.WeakKeyDictionary()
_state = {"enabled": True}


def enable(on: bool) -> None:
    """Whether nets try ways from now on; without it they take the first way of every layer."""
    _state["enabled"] = on


def of(net: NetCore) -> Trials | None:
    """The trials of a net; None where nothing is tried."""
    if net.device.type != "cuda" or net.precision == "fp32" or not _state["enabled"]:
        return None
    if net not in _of_nets:
        _of_nets[net] = Trials(net.device)
    return _of_nets[net]


@contextlib.contextmanager
def none_new(net: NetCore) -> Iterator[None]:
    """In the block nothing is tried, since it is captured; what is not chosen yet is the first."""
    found = _of_nets.get(net)
    if found is not None:
        found.open = False
    try:
        yield
    finally:
        if found is not None:
            found.open = True


class Trials:
    """What a net has tried.

    Parameters
    ----------
    device : torch.device

    Attributes
    ----------
    chosen : dict
        {(layer's name, shapes, ...): the way's name}.
    seconds : dict
        {the same: {way's name: the seconds of its forward and backward}}.
    open : bool
        Whether more may be tried now.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.chosen: dict[Hashable, str] = {}
        self.seconds: dict[Hashable, dict[str, float]] = {}
        self.open = True

    def run(
        self, name: str, ways: Mapping[str, Way], inputs: Sequence[torch.Tensor | None]
    ) -> torch.Tensor:
        """The result of the fastest way.

        Parameters
        ----------
        name : str
            The layer's.
        ways : dict
            {name: function of `inputs` that returns a tensor}; the first one is always right.
        inputs : sequence of torch.Tensor or None

        Returns
        -------
        torch.Tensor
        """
        key = (name, *(None if t is None else (t.shape, t.stride(), t.dtype) for t in inputs))
        best = self.chosen.get(key)
        if best is None:
            best = next(iter(ways))
            if self.open and len(ways) > 1:
                with cuda_graph.trying_algorithms():  # as where the way is then used
                    times = self.seconds[key] = self._try(name, ways, inputs)
                best = self.chosen[key] = min(times, key=times.__getitem__)
                listed = ", ".join(f"{way} {1000 * took:.2f} ms" for way, took in times.items())
                log.info("net.cpp:150", f"{name}: {best} is the fastest way ({listed})")
        return ways[best](*inputs)

    def _try(
        self, name: str, ways: Mapping[str, Way], inputs: Sequence[torch.Tensor | None]
    ) -> dict[str, float]:
        first, *others = ways
        right = _with_gradients(ways[first], inputs)
        seconds = {first: self._time(ways[first], inputs)}
        for other in others:
            try:
                found = _with_gradients(ways[other], inputs)
                if all(map(_agree, found, right)):
                    seconds[other] = self._time(ways[other], inputs)
                else:
                    log.warning("net.cpp:150", f"{name}: {other} gives other numbers than {first}")
            except Exception as error:  # a compiler of kernels may raise anything
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                log.warning("net.cpp:150", f"{name}: {other} cannot be used: {reason}")
        return seconds

    def _time(self, way: Way, inputs: Sequence[torch.Tensor | None]) -> float:
        """The seconds that the GPU takes for forward and backward.

        It first idles, so that all kernels are waiting when it starts, as in a CUDA graph: how long
        the host takes to start them does not count.
        """
        with torch.cuda.device(self.device):
            _with_gradients(way, inputs)  # PyTorch keeps its memory for the runs that are timed
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(IDLE)
            begin.record()
            for _ in range(REPEATS):
                _with_gradients(way, inputs)
            end.record()
            end.synchronize()
        return begin.elapsed_time(end) / 1000 / REPEATS


def _with_gradients(way: Way, inputs: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """The result, and the gradients of the inputs that need one, for the result as its gradient."""
    leaves = [t if t is None else t.detach().requires_grad_(t.requires_grad) for t in inputs]
    with torch.enable_grad():
        result = way(*leaves)
    wanted = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
    if not wanted:
        return [result]
    return [result.detach(), *torch.autograd.grad(result, wanted, result.detach())]


def _agree(found: torch.Tensor, right: torch.Tensor) -> bool:
    if found.shape != right.shape:
        return False
    if not right.numel():
        return True
    limit = TOLERANCE * float(right.abs().max())
    return float((found - right).abs().max()) <= limit  # False for NaN
