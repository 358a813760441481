"""The progress of a training: its speed, and what is shown besides the log.

TensorBoard's files (event_file.py) and the page with the curve (loss_page.py) are watchers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from caffe import log, mode
from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.net import NetCore

DISPLAYS = 10  # the time left follows from the speed over this many displays


@dataclass(frozen=True)
class Point:
    """What one display shows.

    Attributes
    ----------
    iteration : int
    loss : float
        The mean over the last average_loss iterations, as in the log.
    outputs : dict
        {name: value} of the training net.
    rate : float
        The learning rate.
    images_per_second, data_wait : float or None
        Since the display before; data_wait is the share of the time, 0 to 1, in which the training
        waited for its data layers.  None where nothing was measured yet.
    variances : dict
        {loss layer: how much its scores differ between the images of the batch}; see
        `NetCore.output_variances`.
    """

    iteration: int
    loss: float
    outputs: Mapping[str, float]
    rate: float
    images_per_second: float | None
    data_wait: float | None
    variances: Mapping[str, float]


class Watcher:
    """Base of what is told about a training's displays and tests; each method does nothing."""

    def begin(self, iteration: int) -> None:
        """The training starts at this iteration, or goes back to it; later points do not count."""

    def train(self, point: Point) -> None:
        """An iteration is displayed."""

    def test(self, iteration: int, index: int, outputs: Mapping[str, float]) -> None:
        """Test net `index` has been run; `outputs` are {name: mean over the batches}."""

    def close(self) -> None:
        """The training has ended."""


class Watchers(list[Watcher]):
    """The watchers of a training; one that fails is dropped with a warning."""

    def tell(self, event: str, *details: object) -> None:
        """Call the method `event` of every watcher."""
        for watcher in list(self):
            try:
                getattr(watcher, event)(*details)
            except (CaffeError, OSError) as error:
                self.remove(watcher)
                log.warning("solver.cpp:239", f"{error}; the training continues without it")


class Pace:
    """The speed of a training, and the share of its time in which it waits for data.

    Parameters
    ----------
    iteration : int
        The next one.
    """

    def __init__(self, iteration: int) -> None:
        self._marks = deque([(iteration, time.perf_counter())], maxlen=DISPLAYS + 1)
        self._waited: float | None = None

    def mark(self, iteration: int) -> tuple[int, float]:
        """Note a display; returns the iterations and seconds since the previous one."""
        before, now = self._marks[-1], time.perf_counter()
        self._marks.append((iteration, now))
        return iteration - before[0], now - before[1]

    def data_wait(self, net: NetCore, lapse: float) -> float | None:
        """The share of the last `lapse` seconds in which the training waited for data layers.

        None for a net without such layers, and at the first call.
        """
        before, self._waited = self._waited, waited(net)
        if before is None or self._waited is None or lapse <= 0:
            return None
        return min(1.0, (self._waited - before) / lapse)

    def seconds_left(self, iterations: int) -> float | None:
        """The seconds that `iterations` take at the speed of the last displays; None if unknown."""
        (first, begun), (last, now) = self._marks[0], self._marks[-1]
        return iterations * (now - begun) / (last - first) if last > first else None


def waited(net: NetCore) -> float | None:
    """The seconds that a net has waited for its data layers so far; None if none of them reads."""
    layers = [node.layer for node in net.nodes if hasattr(node.layer, "waited")]
    return sum(layer.waited for layer in layers) if layers else None


def batch_size(net: NetCore) -> int:
    """The images of one pass: the first axis of the first top of a layer without bottoms."""
    shapes = (top.shape for node in net.nodes if not node.bottoms for top in node.tops)
    return next((shape[0] for shape in shapes if len(shape)), 1) * mode.solver_count()


def named(net: NetCore, values: Sequence[torch.Tensor]) -> dict[str, float]:
    """{name: number} of a net's outputs; the numbers of a blob of several are `name/0`, ..."""
    found = {}
    for blob, value in zip(net.output_blobs, values, strict=True):
        numbers = value.reshape(-1).tolist()
        for i, number in enumerate(numbers):
            found[blob.name if len(numbers) == 1 else f"{blob.name}/{i}"] = number
    return found


def data_wait(share: float) -> str:
    """The log's line: which share of the time, 0 to 1, a training waited for data.

    parse_log, ours and BVLC's, finds nothing in it.
    """
    return f"    Waited for data: {100 * share:.1f} % of the time"


def time_left(seconds: float) -> str:
    """The log's line: how long a training still takes, and when it ends.

    It matches no pattern of parse_log, neither ours nor BVLC's.
    """
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    texts = [f"{days} d"] * (days > 0) + [f"{hours} h"] * (days + hours > 0)
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + seconds))
    return f"    Time left: {' '.join([*texts, f'{minutes % 60} min'])}, until {end}"
