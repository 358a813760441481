"""Large gradients in parts, each of which is used as soon as it is computed.

The gradient of an InnerProduct layer's weights takes as much memory as the weights: 151 MB for fc6
of CaffeNet.  Getting that memory from the operating system, writing it and reading it again takes
longer than the arithmetic.  A part of the gradient stays in the processor's cache.  So where a
solver updates each weight as soon as its gradient is there, the layer computes the gradient of some
rows, which are updated before it computes the next ones.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from caffe.net import NetCore
    from caffe.node import Node, Parameter

PART = 1 << 20  # elements; smaller gradients are computed in one piece
ROWS = 32  # the fewest of a part, because products of few rows are slow, and may round differently
# takes a parameter, a part of its gradient, and the position of the part's first element
Use = Callable[["Parameter", torch.Tensor, int], None]

_uses: weakref.WeakKeyDictionary[NetCore, Use] = weakref.WeakKeyDictionary()


def rows_of_parts(shape: torch.Size) -> Iterator[slice]:
    """The rows of each part of a gradient of this shape; the last part takes the rest."""
    height, width = shape
    rows = max(ROWS, PART // width // ROWS * ROWS)
    starts = list(range(0, height - rows + 1, rows)) or [0]
    return map(slice, starts, [*starts[1:], height])


@contextlib.contextmanager
def used_at_once(net: NetCore, use: Use) -> Iterator[None]:
    """In the block, layers of the net may give `use` the gradient of their weights in parts."""
    _uses[net] = use
    try:
        yield
    finally:
        del _uses[net]


def use_of(net: NetCore, node: Node) -> Callable[[torch.Tensor, int], None] | None:
    """What takes parts of the gradient of the node's first parameter; None if nothing does."""
    use = _uses.get(net)
    if use is None or not node.params or net.device.type != "cpu":
        return None
    parameter = node.params[0]
    return functools.partial(use, parameter) if used_early(net, parameter) else None


def used_early(net: NetCore, parameter: Parameter) -> bool:
    """Whether its gradient is used as soon as it is there, while layers below are computed.

    It must be large, or nothing is gained.  And a parameter that several layers share has the sum
    of their gradients, which is complete only when all of them are.
    """
    users = sum(node.params.count(parameter) for node in net.nodes)
    return users == 1 and parameter.blob.count > PART
