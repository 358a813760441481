"""Class labels and indices: floats in a blob, read as integers, and checked.

On the CPU an index outside its range is an error at once.  On a GPU reading it would make the host
wait at every layer, and using it would end in a device assert, after which the process cannot use
the GPU any more.  There every index is limited to its range, and the smallest and the largest one
are kept on the GPU until somebody asks: the solver does at every display, test and snapshot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from caffe.layer import Layer, Shapes


class Seen:
    """The smallest and the largest index that a layer on a GPU has read since the last check.

    Parameters
    ----------
    layer : Layer
    word : str
        What the error calls the indices.
    count : int
        They must be in 0..count - 1.
    """

    def __init__(self, layer: Layer, word: str, count: int) -> None:
        self.layer, self.word, self.count = layer, word, count
        self._low = torch.full((), math.inf, device=layer.device)
        self._high = torch.full((), -math.inf, device=layer.device)

    def note(self, numbers: torch.Tensor) -> None:
        """Take in indices (float32); the host does not wait, and a CUDA graph can hold it."""
        if numbers.numel():
            self._low.copy_(torch.minimum(self._low, numbers.min()))
            self._high.copy_(torch.maximum(self._high, numbers.max()))

    def check(self) -> None:
        """Refuse an index outside the range; waits for the GPU."""
        low, high = float(self._low), float(self._high)
        self._low.fill_(math.inf)
        self._high.fill_(-math.inf)
        if not (low > -1 and high < self.count):  # NaN is neither
            _refuse(self.layer, self.word, low if high < self.count else high, self.count)


def integers(
    layer: Layer,
    numbers: torch.Tensor,
    count: int,
    word: str = "label",
    ignored: int | None = None,
) -> torch.Tensor:
    """The integers in a blob, checked, as int64 of the same shape, in 0..count - 1.

    Parameters
    ----------
    layer : Layer
        For errors; on a GPU, its `seen` keeps what `Seen.check` looks at.
    numbers : Tensor of float32
        Truncated to integers.
    count : int
        They must be in 0..count - 1; the error names one that is not.
    word : str
        What the error calls them.
    ignored : int, optional
        An integer that may be outside that range; the nearest one in it is returned.

    Raises
    ------
    CaffeError
        On the CPU: one is outside its range.
    """
    numbers = numbers.detach()
    found = numbers.long()
    checked = numbers if ignored is None else numbers.masked_fill(found == ignored, 0)
    if numbers.device.type == "cpu":
        inside = (checked > -1) & (checked < count)
        if not inside.all():
            _refuse(layer, word, float(checked[~inside][0]), count)
    else:
        seen = layer.seen
        if seen is None or (seen.word, seen.count) != (word, count):
            if seen is not None:
                seen.check()
            seen = layer.seen = Seen(layer, word, count)
        seen.note(checked)
    return found.clamp(0, max(0, count - 1))


def _refuse(layer: Layer, word: str, wrong: float, count: int) -> None:
    shown = int(wrong) if math.isfinite(wrong) else wrong
    layer.fail(f"{word} {shown} is outside 0..{count - 1}")


def check_one_per_item(layer: Layer, items: str, shapes: Shapes) -> None:
    """Refuse bottoms that are not `items` (N, ...) and N labels."""
    first, labels = shapes
    if not first or math.prod(labels) != first[0]:
        layer.fail(
            f"{items} {first} need one label per item; there are {math.prod(labels)} labels"
            f" {labels}"
        )


def counted(
    layer: Layer, labels: torch.Tensor, classes: int, ignored: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels as int64 (count,) in 0..classes - 1, and which of them count (bool).

    `ignored` is the label that does not count, or None.
    """
    labels = labels.detach().reshape(-1)
    checked = integers(layer, labels, classes, ignored=ignored)
    if ignored is None:
        return checked, torch.ones_like(checked, dtype=torch.bool)
    return checked, labels.long() != ignored


def ignore_label(layer: Layer) -> int | None:
    """loss_param.ignore_label, if it is given."""
    p = layer.param.loss_param
    return p.ignore_label if p.HasField("ignore_label") else None
