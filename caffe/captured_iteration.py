"""An iteration that the GPU repeats by itself: a CUDA graph from the batch to the new weights.

Python needs longer to start the thousand kernels of an iteration than a GPU to run them.  A CUDA
graph (cuda_graph.py) starts them all at once.  Its parts are the batch's crops and mirrors, if the
records are on the device (captured_source.py), forward, backward, the update of all parameters
(fused_update.py), of which the largest may run beside backward (overlapped_update.py), and the
loss, which goes into a ring of the last losses.  Nothing waits for the GPU until somebody asks for
a loss.

The first iterations run without a graph, so that libraries can prepare themselves; they count like
all others.  The graph is captured again when an address in it or its learning rate has changed, and
the iterations start again without a graph when the shape of a batch has changed.  Displays, tests
and snapshots are outside: they see the net's blobs, weights and history as always.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import torch

from caffe import fused_update, processes, trials, whole_graph
from caffe.captured_source import Source
from caffe.overlapped_update import BESIDE, OverlappedUpdate

if TYPE_CHECKING:
    from caffe.blob import Blob
    from caffe.cuda_graph import Function, Recorder
    from caffe.net import NetCore
    from caffe.node import Node, Parameter
    from caffe.solver import Solver

WARM_UP = 3  # iterations without a graph
MOST_CHANGES = 5  # of the batch's shape; after that, iterations run without a graph


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
    overlap : OverlappedUpdate
        Whether it runs beside backward.
    trouble : str
        Why no further iteration can be captured, if so.
    """

    def __init__(self, solver: Solver, recorder: Recorder) -> None:
        self.solver, self.net, self.recorder = solver, solver.net, recorder
        self.update = fused_update.of(solver.updater)
        self.overlap = OverlappedUpdate(solver)
        self.trouble = ""
        device, passes = self.net.device, solver.param.iter_size
        self._sources = [
            Source(node.layer, recorder) for node in self.net.nodes if _is_source(node)
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
            self._do_whole() if passes == 1 else self._do(self._one_pass)
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

    def _do_whole(self) -> None:
        way = self.overlap.next()
        function = self._whole_beside if way == BESIDE else self._whole
        if self.overlap.chosen is None and function in self._recorded:
            self.overlap.note(way, self.recorder.timed(self._recorded[function]))
        else:
            self._do(function)

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
                self.trouble = f"the capture failed ({_first_line(error)})"
                with self.recorder.warm_up():
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

    def _whole_beside(self) -> None:
        """The same numbers as `_whole`; large weights are updated while backward still runs."""
        done: list[int] = []

        def update(parameter: Parameter, gradient: torch.Tensor) -> None:
            position = self.overlap.early.get(parameter)
            if position is not None:
                with self.recorder.beside():
                    self.update.run_one(position, gradient)
                done.append(position)

        loss, gradients = self._forward_backward(update)  # they are kept until `join`
        self._finish_with(loss, gradients, done)

    def _one_pass(self) -> None:
        loss, gradients = self._forward_backward()
        self._losses.index_copy_(0, self._pass, loss.reshape(1))
        self._pass.add_(1)
        torch._foreach_add_(self._sums, gradients)

    def _finish(self) -> None:
        self._finish_with(self._losses.mean(), self._sums)
        torch._foreach_zero_(self._sums)
        self._pass.zero_()

    def _forward_backward(
        self, ready: Callable[[Parameter, torch.Tensor], None] | None = None
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The loss, and the gradients of all parameters; of those without one, zeros.

        `ready` is told of each gradient while backward still runs.
        """
        found: dict[Parameter, torch.Tensor] = {}

        def keep(parameter: Parameter, gradient: torch.Tensor) -> None:
            found[parameter] = gradient
            if ready is not None:
                ready(parameter, gradient)

        given = {source.layer: source.batch() for source in self._sources}
        loss = whole_graph.forward_backward(self.net, True, keep, given)
        for i, blob in enumerate(self.net.output_blobs):
            self._keep(f"output {i}", blob.tensor())
        for node in self.net.nodes:
            if node.scores is not None:
                self._keep(f"scores {node.name}", node.scores)
        parameters = self.net.learnable
        zeros = (torch.zeros_like(p.blob.tensor()) for p in parameters if p not in found)
        return loss, [found[p] if p in found else next(zeros) for p in parameters]

    def _finish_with(
        self, loss: torch.Tensor, gradients: Sequence[torch.Tensor], done: Collection[int] = ()
    ) -> None:
        self.update.run(gradients, done)
        if done:
            self.recorder.join()
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


def _first_line(error: BaseException) -> str:
    """What went wrong first: ending a capture that has failed raises an error of its own."""
    while error.__context__ is not None:
        error = error.__context__
    return (str(error).splitlines() or [type(error).__name__])[0]
