"""A data layer whose batches go into a captured iteration (captured_iteration.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from caffe.layer import as_sequence

if TYPE_CHECKING:
    from caffe.cuda_graph import Recorder
    from caffe.device_records import DeviceRecords
    from caffe.layer import Layer

# Passes whose records, crops and mirrors are drawn at once: so few that the GPU, which is some
# iterations behind, does not notice.
AHEAD = 200


class Source:
    """The batches of one layer.

    If its records are on the device (device_records.py), the graph itself makes the batch, from the
    row of a table that a counter on the device names.  Otherwise the layer's batch is copied to a
    fixed place before the graph runs.

    Attributes
    ----------
    tops : list of torch.Tensor
        The fixed places; none if the records are on the device.
    """

    def __init__(self, layer: Layer, recorder: Recorder) -> None:
        self.layer, self.recorder = layer, recorder
        self.tops: list[torch.Tensor] = []
        self._row = torch.zeros((), dtype=torch.long, device=layer.device)
        self._known = 0  # what _row holds

    @property
    def _records(self) -> DeviceRecords | None:
        return getattr(self.layer, "device_records", None)

    @property
    def read_by_graph(self) -> list[torch.Tensor]:
        """The tensors whose addresses become part of the graph."""
        records = self._records
        return self.tops if records is None else [records.table, records.pixels, records.labels]

    def read(self) -> None:
        """Have the next batch ready for `batch`; part of no graph."""
        records = self._records
        if records is None:
            self._read_from_layer()
            return
        if not records.left:
            records.draw_ahead(AHEAD)
        row = records.drawn - records.left
        if row != self._known:  # other passes have taken rows, or the table is new
            self._row.fill_(row)
        records.advance()
        self._known = row + 1

    def _read_from_layer(self) -> None:
        with self.recorder.reading():
            batch = as_sequence(self.layer.forward())
        self.recorder.take_over(batch)
        if [top.shape for top in self.tops] != [top.shape for top in batch]:
            self.tops = [torch.empty_like(top) for top in batch]  # with the same memory format
        for place, top in zip(self.tops, batch, strict=True):
            place.copy_(top)

    def batch(self) -> Sequence[torch.Tensor]:
        """The batch that `read` has made ready; this can be captured."""
        records = self._records
        if records is None:
            return self.tops
        tops = records.batch(self._row)[: len(self.layer.param.top)]
        self._row.add_(1)
        return tops
