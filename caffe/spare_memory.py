"""Memory of gradients that is used again in the next iteration.

The gradient of a large InnerProduct layer takes as much memory as its weights: 151 MB for fc6 of
CaffeNet.  Once the weights are updated, it is not needed any more.  Memory of that size goes back
to the operating system when it is freed, and clearing the pages of new memory takes as long as the
gradient's arithmetic.  The net therefore keeps the largest such piece.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from caffe.net import NetCore

LARGE = 1 << 20  # elements; smaller pieces are not returned to the operating system


class SpareMemory:
    """At most one piece of memory that nothing uses at present."""

    def __init__(self) -> None:
        self._piece: torch.Tensor | None = None
        self._taken = 0  # the address of the piece that is in use

    def take(self, shape: Sequence[int]) -> torch.Tensor | None:
        """Use the memory for a float32 tensor, whose values are undefined.

        None if it is in use, or if it is too small.
        """
        piece, count = self._piece, math.prod(shape)
        if piece is None or count < LARGE or piece.numel() < count:
            return None
        self._piece, self._taken = None, piece.data_ptr()
        return piece[:count].view(shape)

    def give(self, gradient: torch.Tensor) -> None:
        """Keep the memory of a gradient that nothing uses any more, if it is larger than the piece
        that is kept.
        """
        if gradient.dtype != torch.float32 or gradient.device.type != "cpu":
            return
        storage = gradient.untyped_storage()
        count = storage.nbytes() // 4
        # a gradient may be part of a larger tensor, which something else still uses
        whole = gradient.numel() == count or storage.data_ptr() == self._taken
        if whole and count >= LARGE and (self._piece is None or self._piece.numel() < count):
            self._piece = torch.empty(0).set_(storage, 0, (count,))


_of_nets: weakref.WeakKeyDictionary[NetCore, SpareMemory] = weakref.WeakKeyDictionary()


def of(net: NetCore) -> SpareMemory:
    """The spare memory of a net."""
    return _of_nets.setdefault(net, SpareMemory())
