"""All records of a data layer on the device: batches are cropped and mirrored there.

The records and the crops are chosen on the host, in the order and from the random stream of the
reader thread, for many batches ahead.  They go into a table on the device, one row per batch.  What
makes a batch of a row reads nothing from the host, so that it can be captured in a CUDA graph.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from caffe.layer_parts.prefetching import PrefetchingLayer
    from caffe.position import Position

ROWS = 1024  # of a table
AHEAD = 128  # batches that `forward` draws ahead
RECORD, TOP, LEFT, MIRROR = range(4)  # the columns of the table


class DeviceRecords:
    """The records of one layer, and the table of its next batches.

    For every batch the host calls `advance` and the device runs `batch`, eagerly or in a graph;
    `forward` does both.

    Parameters
    ----------
    layer : PrefetchingLayer
        Chooses the records, and says how they are transformed.
    pixels : Tensor of uint8 or float32, shape (records, H, W, C)
        On the device; any number of bytes.
    labels : Tensor of float32, shape (records,)

    Attributes
    ----------
    device : torch.device
    table : Tensor of int32, shape (rows, batch, 4)
        Record, top, left and mirror (0 or 1) of each image, one row per batch.  Its memory stays
        where it is, unless more rows are drawn than it has.
    drawn : int
        How many batches were drawn ahead the last time; they are in the first rows.
    left : int
        How many of these are not taken yet.  The next batch is in row drawn - left.
    reached : Position
        Of the record after the last batch that was taken.
    """

    def __init__(self, layer: PrefetchingLayer, pixels: torch.Tensor, labels: torch.Tensor) -> None:
        self.layer, self.pixels, self.labels = layer, pixels, labels
        self.device = pixels.device
        self.batch_size = layer.batch_size
        self.table = torch.zeros((ROWS, self.batch_size, 4), dtype=torch.int32, device=self.device)
        self.drawn = 0
        _, height, width = layer.shape
        self._rows = torch.arange(height, device=self.device)
        self._columns = torch.arange(width, device=self.device)
        self._mean = layer.mean_on(self.device)
        self._row = torch.zeros((), dtype=torch.int64, device=self.device)
        self._ends: deque[Position] = deque()  # after each batch that is drawn and not taken
        layer.begin()
        self.reached = layer.place()

    # ------------------------------------------------------------- on the host
    @property
    def left(self) -> int:
        return len(self._ends)

    def draw_ahead(self, iterations: int) -> None:
        """Choose the next batches and write them into the table, from its first row on.

        The copy is queued in the current stream, behind the batches that are taken but not computed
        yet.

        Parameters
        ----------
        iterations : int
            How many batches.

        Raises
        ------
        ValueError
            Some rows are not taken yet.
        """
        if self.left:
            raise ValueError(f"{self.left} batches are drawn and not taken yet")
        begun = time.perf_counter()
        drawn = torch.from_numpy(np.stack([self._draw() for _ in range(iterations)]))
        if self.device.type == "cuda":
            drawn = drawn.pin_memory()
        if iterations > len(self.table):
            self.table = torch.empty(drawn.shape, dtype=drawn.dtype, device=self.device)
        self.table[:iterations].copy_(drawn, non_blocking=True)
        self.drawn = iterations
        self.layer.waited += time.perf_counter() - begun

    def _draw(self):
        """The next batch: int32 (batch, 4)."""
        records, draws = self.layer.choose()
        row = np.empty((self.batch_size, 4), dtype=np.int32)
        row[:, RECORD] = records
        corners = self.layer.transformer.corners(draws.places, tuple(self.pixels.shape[1:]))
        row[:, TOP : LEFT + 1] = corners
        row[:, MIRROR] = draws.mirrors
        self._ends.append(self.layer.place())
        return row

    def advance(self) -> None:
        """Take the next row: from now on the layer is at the record after its batch."""
        self.reached = self._ends.popleft()

    def rewind(self) -> None:
        """Forget the batches that are drawn and not taken; they are drawn again when needed."""
        self._ends.clear()
        self.layer.go_to(self.reached)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The tops of the next batch, which is taken; draws ahead if no row is left."""
        if not self.left:
            self.draw_ahead(AHEAD)
        tops = self.batch(self._row.fill_(self.drawn - self.left))
        self.advance()
        return tops

    # ------------------------------------------------------------- on the device
    def batch(self, step: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The tops of a batch; it can be captured.

        Parameters
        ----------
        step : Tensor of int64, shape ()
            The number of its row, on the device; taken modulo the rows of the table.

        Returns
        -------
        (Tensor of float32, shape (N, C, H, W), Tensor of float32, shape (N,))
            Data, with the channels last in memory, and labels.
        """
        row = self.table.index_select(0, (step % len(self.table)).reshape(1))[0].long()
        record, top, left, mirror = row.unbind(1)
        backwards = self._columns.flip(0)
        columns = torch.where(mirror[:, None] == 1, backwards, self._columns)
        y = (top[:, None] + self._rows)[:, :, None]  # (N, H, 1)
        x = (left[:, None] + columns)[:, None, :]  # (N, 1, W)
        images = self.pixels[record[:, None, None], y, x]  # (N, H, W, C)
        mean = self._mean
        if mean is not None and mean.dim() == 3:
            mean = mean[y, x]
        data = self.layer.transformer.finish(images, mean)
        return data.permute(0, 3, 1, 2), self.labels.index_select(0, record)
