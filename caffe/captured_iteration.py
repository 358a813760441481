"""An iteration that the GPU repeats by itself: a CUDA graph from the batch to the new weights.

Python needs longer to start the thousand kernels of an iteration than a GPU to run them.  A CUDA
graph (cuda_graph.py) starts them all at once.  Its parts are the batch's crops and mirrors, if the
records are on the device, forward, backward, the update of all parameters (fused_update.py), and
the loss, which goes into a ring of the last losses.  Nothing waits for the GPU until somebody asks
for a loss.

The first iterations run without a graph, so that libraries can prepare themselves; they count like
all others.  The graph is captured again when an address in it or its learning rate has changed, and
the iterations start again without a graph when the shape of a batch has changed.  Displays, tests
and snapshots are outside: they see the net's blobs, weights and history as always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from caffe import fused_update, processes, trials, whole_graph
from caffe.layer import as_sequence

if TYPE_CHECKING:
    from caffe.blob import Blob
    from caffe.cuda_graph import Function, Recorder
    from caffe.device_records import DeviceRecords
    from caffe.layer import Layer
    from caffe.net import NetCore
    from caffe.node import Node
    from caffe.solver import Solver

WARM_UP = 3  # iterations without a graph
MOST_CHANGES = 5  # of the batch's shape; after that, iterations run without a graph
# Passes whose records, crops and mirrors are drawn at once: so few that the GPU, which is some
# iterations behind, does not notice.
AHEAD = 200


def obstacle(solver: Solver) -> str:
    """Why iterations of this solver cannot be captured, or an empty text."""
    p, net = solver.param, solver.net
    if processes.together():
        return "several processes train together"
    if net.keep_blobs or p.snapshot_diff:
        return "blobs or diffs may be looked at (keep_blobs, snapshot_diff)"
    if solver.has_callbacks or any(net.callbacks.values()):
        return "functions are called back"
    if p.debug_info or net.debug_info:
        return "debug_info is on"
    fed, computed = _fed(net), [top for node in net.nodes if node.bottoms for top in node.tops]
    if net.overwrites_needed or any(top in fed for top in computed):
        return "a layer overwrites in place what is read again"
    for node in net.nodes:
        if not (node.layer.capturable or _is_source(node)):
            return f"{node.layer.where} cannot be part of a CUDA graph"
    if solver.captured is not None and solver.captured.trouble:
        return solver.captured.trouble
    return ""


def _is_source(node: Node) -> bool:
    """Whether the layer reads data, which it does outside the graph."""
    layer = node.layer
    return not (node.bottoms or layer.fed_by_user or layer.shares_data or layer.calls_user)


def _fed(net: NetCore) -> list[Blob]:
    """The blobs that the user fills, and that keep their place from pass to pass."""
    return [top for node in net.nodes if node.layer.fed_by_user for top in node.tops]


class CapturedIteration:
    """The iterations of one solver.

    Parameters
    ----------
    solver : Solver
    recorder : Recorder
        Of the net's device, or the twin for tests.

    Attributes
    ----------
    update : AllAtOnce
    trouble : str
        Why no further iteration can be captured, if so.
    """

    def __init__(self, solver: Solver, recorder: Recorder) -> None:
        self.solver, self.net, self.recorder = solver, solver.net, recorder
        self.update = fused_update.of(solver.updater)
        self.trouble = ""
        device, passes = self.net.device, solver.param.iter_size
        self._sources = [
            _Source(node.layer, recorder) for node in self.net.nodes if _is_source(node)
        ]
        # one place more than the log averages: the losses before this iteration stay whole
        self._ring = torch.zeros(solver.param.average_loss + 1, device=device)
        self._place, self._next = torch.zeros(1, dtype=torch.long, device=device), 0
        self._losses = torch.zeros(passes, device=device)  # of the passes of this iteration
        self._pass = torch.zeros(1, dtype=torch.long, device=device)
        self._sums: list[torch.Tensor] = []  # of their gradients
        if passes > 1:
            self._sums = [torch.zeros_like(p.blob.tensor()) for p in self.net.learnable]
        self._shown: dict[str, torch.Tensor] = {}  # what displays read, by name
        self._recorded: dict[Function, Function] = {}
        self._key: object = None
        self._shapes: object = None
        self._warm = self._changes = 0

    # ----------------------------------------------------------------------------- one iteration
    def run(self, rate: float, display: bool) -> torch.Tensor:
        """Make one update.

        Parameters
        ----------
        rate : float
            The learning rate, before lr_mult.
        display : bool
            Afterwards, the net's outputs and the scores of its losses are looked at.

        Returns
        -------
        torch.Tensor
            The loss (0-d, on the device); it is overwritten average_loss iterations later.
        """
        passes = self.solver.param.iter_size
        constants = self.update.set_rate(rate, self.solver.iter)
        for _ in range(passes):
            for source in self._sources:
                source.read()
            self._check_key(constants)
            self._do(self._whole if passes == 1 else self._one_pass)
        if passes > 1:
            self._do(self._finish)
        self._warm += 1
        loss = self._ring[self._next]
        self._next = (self._next + 1) % len(self._ring)
        if display:
            self._show()
        return loss

    def close(self) -> None:
        """Give back the memory of the graphs."""
        self._forget()

    @property
    def recorded(self) -> bool:
        """Whether there is a graph now."""
        return bool(self._recorded)

    def _check_key(self, constants: tuple[float, ...]) -> None:
        """Forget the graphs if an address, or a constant in them, has changed."""
        net = self.net
        tensors = [blob.tensor() for blob in (*(p.blob for p in net.learnable), *_fed(net))]
        tensors += self.solver.updater.history
        tensors += [tensor for source in self._sources for tensor in source.read_by_graph]
        key = ([(t.data_ptr(), t.shape) for t in tensors], constants, net.precision)
        shapes = [top.shape for source in self._sources for top in source.tops]
        if key != self._key:
            self._forget()
        if shapes != self._shapes and self._shapes is not None:
            self._warm, self._changes = 0, self._changes + 1
            if self._changes > MOST_CHANGES:
                self.trouble = "the batches change their shape"
        self._key, self._shapes = key, shapes

    def _do(self, function: Function) -> None:
        """Run a function, as a graph once everything has been prepared."""
        if self._warm < WARM_UP or self.trouble:
            with self.recorder.warm_up():
                function()
            return
        if function not in self._recorded:
            try:
                with trials.none_new(self.net):
                    self._recorded[function] = self.recorder.record(function)
            except RuntimeError as error:  # torch.AcceleratorError is one
                self._forget()
                self.trouble = f"the capture failed ({str(error).splitlines()[0]})"
                function()
                return
        self._recorded[function]()

    def _forget(self) -> None:
        self._recorded.clear()
        self.recorder.forget()

    # --------------------------------------------------------------------- what can be captured
    def _whole(self) -> None:
        loss, gradients = self._forward_backward()
        self._finish_with(loss, gradients)

    def _one_pass(self) -> None:
        loss, gradients = self._forward_backward()
        self._losses.index_copy_(0, self._pass, loss.reshape(1))
        self._pass.add_(1)
        torch._foreach_add_(self._sums, gradients)

    def _finish(self) -> None:
        self._finish_with(self._losses.mean(), self._sums)
        torch._foreach_zero_(self._sums)
        self._pass.zero_()

    def _forward_backward(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The loss, and the gradients of all parameters; of those without one, zeros."""
        found: dict[object, torch.Tensor] = {}
        given = {source.layer: source.batch() for source in self._sources}
        loss = whole_graph.forward_backward(self.net, True, found.__setitem__, given)
        for i, blob in enumerate(self.net.output_blobs):
            self._keep(f"output {i}", blob.tensor())
        for node in self.net.nodes:
            if node.scores is not None:
                self._keep(f"scores {node.name}", node.scores)
        parameters = self.net.learnable
        zeros = (torch.zeros_like(p.blob.tensor()) for p in parameters if p not in found)
        return loss, [found[p] if p in found else next(zeros) for p in parameters]

    def _finish_with(self, loss: torch.Tensor, gradients: Sequence[torch.Tensor]) -> None:
        self.update.run(gradients)
        self._ring.index_copy_(0, self._place, loss.reshape(1))
        self._place.add_(1).remainder_(len(self._ring))

    def _keep(self, name: str, value: torch.Tensor) -> None:
        """Copy a value to where `_show` finds it; the places are made before the capture."""
        place = self._shown.get(name)
        if place is None or place.shape != value.shape:
            self._shown[name] = value.detach().clone()
        else:
            place.copy_(value.detach())

    # ------------------------------------------------------------------------------- for displays
    def _show(self) -> None:
        """Give the net's outputs, and the scores of its losses, the values of this iteration."""
        for i, blob in enumerate(self.net.output_blobs):
            blob.put(self._shown[f"output {i}"].clone())
        for node in self.net.nodes:
            if node.scores is not None:
                node.scores = self._shown[f"scores {node.name}"].clone()
        self.update.log_clipping()


class _Source:
    """A data layer whose batches go into a graph.

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
