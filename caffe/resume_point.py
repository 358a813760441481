"""Resume points: the state of a training between two iterations.

A resume point holds the positions of the nets in their data, the states of the random streams, and
the losses that the log averages.  It is part of a snapshot, so that a resumed training equals one
that was never stopped.  BVLC Caffe ignores it and resumes with the first record.  A Python layer
that reads data cannot be asked for its position, so a net with such a layer also resumes with the
first record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from caffe import log, mode, position, wire
from caffe.error import CaffeError
from caffe.layer import Layer
from caffe.position import Position
from caffe.proto import caffe_pb2

if TYPE_CHECKING:
    from caffe.net import NetCore
    from caffe.solver import Solver

LOG_PLACE = "solver.cpp:296"
FROM_THE_START = "its data starts at the first record, as in Caffe"
# what a damaged resume point raises when it is read
DAMAGES = (ValueError, TypeError, KeyError, OverflowError, RuntimeError)


@dataclass(frozen=True)
class ResumePoint:
    """A point between two iterations; it is cheap to take, because it copies no data.

    Attributes
    ----------
    iteration : int or None
        The next iteration; None in a point read from a file, which does not hold it.
    solver : (int, int)
        The number of solvers, and which of them this is.
    losses : list of torch.Tensor
        The losses of the last average_loss iterations (0-d).
    cpu_stream : torch.Tensor of uint8
        The state of PyTorch's generator.
    cuda_stream : torch.Tensor of uint8, or None
        The state of the generator of the net's GPU.
    nets : list of list of (str, str, Position)
        For the training net, then each test net: name, type and position of the layers with one.
    rate_scale : float
        What rollbacks have made of the learning rate, above 0; 1 without any.
    others : list of bytes
        In the root's point, those of the other processes of this training.
    """

    iteration: int | None
    solver: tuple[int, int]
    losses: Sequence[torch.Tensor]
    cpu_stream: torch.Tensor
    cuda_stream: torch.Tensor | None
    nets: Sequence[Sequence[tuple[str, str, Position]]]
    rate_scale: float = 1.0
    others: Sequence[bytes] = ()

    def to_bytes(self) -> bytes:
        """The point as the bytes that `read` takes."""
        message = caffe_pb2.ResumePoint(
            solver_count=self.solver[0],
            solver_rank=self.solver[1],
            loss=[float(loss) for loss in self.losses],
            cpu_stream=self.cpu_stream.numpy().tobytes(),
            other=self.others,
        )
        if self.cuda_stream is not None:
            message.cuda_stream = self.cuda_stream.numpy().tobytes()
        if self.rate_scale != 1:
            message.rate_scale = self.rate_scale
        for layers in self.nets:
            message.net.add(layer=[position.to_message(*layer) for layer in layers])
        return message.SerializeToString()


@dataclass(frozen=True)
class Restored:
    """The resume points of a snapshot that a solver has resumed from.

    Attributes
    ----------
    path : str
        The solver state.
    points : list of bytes
        One per process that trained, in the order of their numbers.
    """

    path: str
    points: Sequence[bytes]


def of_snapshot(solver: Solver) -> ResumePoint:
    """The point from which a snapshot taken now resumes: if an iteration is under way, its start.

    The tests before an iteration are part of it: the resumed training tests again.
    """
    begun = solver.begun_at
    point = begun if begun and begun.iteration == solver.iter else take(solver)
    return replace(point, others=solver.others)


def take(solver: Solver) -> ResumePoint:
    """The current point of a solver."""
    device = solver.net.device
    return ResumePoint(
        solver.iter,
        (mode.solver_count(), mode.solver_rank()),
        list(solver.training_log.losses),
        torch.get_rng_state(),
        torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        [
            [(layer.name, layer.type, place) for layer, place in _positions(net)]
            for net in (solver.net, *solver.test_nets)
        ],
        solver.updater.scale,
    )


def read(data: bytes, path: str) -> ResumePoint:
    """Read the point that a solver state holds.

    Parameters
    ----------
    data : bytes
    path : str
        The state's file, for errors.

    Raises
    ------
    CaffeError
        The point is damaged.
    """
    damaged = (
        f"{path}: its data positions and random streams are damaged; -restart_data resumes without"
        " them"
    )
    message = wire.parse(caffe_pb2.ResumePoint(), data, damaged)
    try:
        return ResumePoint(
            None,
            (message.solver_count, message.solver_rank),
            [torch.tensor(loss) for loss in message.loss],
            _stream(message.cpu_stream, "cpu"),
            _stream(message.cuda_stream, "cuda") if message.cuda_stream else None,
            [
                [
                    (wire.readable(layer.name), layer.type, position.from_message(layer))
                    for layer in net.layer
                ]
                for net in message.net
            ],
            _scale(message.rate_scale),
            list(message.other),
        )
    except DAMAGES as error:
        raise CaffeError(damaged) from error


def _stream(state: bytes, device: str) -> torch.Tensor:
    """The state of a generator as a tensor; it is tried out if the device exists."""
    tensor = torch.frombuffer(bytearray(state), dtype=torch.uint8)
    if device == "cpu" or torch.cuda.is_available():
        torch.Generator(device).set_state(tensor)
    return tensor


def _scale(scale: float) -> float:
    if not 0 < scale <= 1:
        raise ValueError("not what a rollback makes of a learning rate")
    return scale


def restore(solver: Solver, point: ResumePoint, path: str) -> None:
    """Bring a solver's nets, random streams and log to a point.

    A net that does not fit stays where it is, with a warning.  The positions of a net belong
    together, so either all of them are restored or none.

    Parameters
    ----------
    solver : Solver
    point : ResumePoint
    path : str
        The state's file, for the log.
    """
    solver.updater.scale = point.rate_scale
    if point.rate_scale != 1:
        log.warning(
            LOG_PLACE,
            f"{path} was written after a rollback: the learning rate is"
            f" {log.number(point.rate_scale)} times that of {solver.file}",
        )
    if point.solver != (mode.solver_count(), mode.solver_rank()):
        count, rank = point.solver
        log.warning(
            LOG_PLACE,
            f"{path} was written by solver {rank} of {count}, this is solver"
            f" {mode.solver_rank()} of {mode.solver_count()}: {FROM_THE_START}",
        )
        return
    torch.set_rng_state(point.cpu_stream)
    device = solver.net.device
    if device.type == "cuda" and point.cuda_stream is not None:
        torch.cuda.set_rng_state(point.cuda_stream, device)
    solver.training_log.resume(point.losses)
    nets = [solver.net, *solver.test_nets]
    exact = len(nets) == len(point.nets)
    if not exact:
        log.warning(
            LOG_PLACE,
            f"{path} was written with {len(point.nets) - 1} test net(s), this solver has"
            f" {len(nets) - 1}: those without a position start at the first record",
        )
    for net, layers in zip(nets, point.nets, strict=False):
        try:
            _move(net, layers)
        except CaffeError as error:
            exact = False
            log.warning(LOG_PLACE, f"{net.file}: {FROM_THE_START}, not where {path} was: {error}")
    if exact:
        log.info(LOG_PLACE, f"Data and random streams resume where {path} was written")


def _positions(net: NetCore) -> list[tuple[Layer, Position]]:
    """(layer, position) of the layers that have one; none if a Python layer is also a source."""
    if _python_source(net) is not None:
        return []
    pairs = [(node.layer, node.layer.position()) for node in net.nodes]
    return [(layer, place) for layer, place in pairs if place is not None]


def _python_source(net: NetCore) -> Layer | None:
    """The first Python layer without bottoms, or None."""
    return next((n.layer for n in net.nodes if n.layer.calls_user and not n.bottoms), None)


def _move(net: NetCore, layers: Sequence[tuple[str, str, Position]]) -> None:
    """Move the layers of a net to their positions, all of them or none.

    Raises
    ------
    CaffeError
        They do not fit.
    """
    source = _python_source(net)
    if source is not None:
        source.fail("a snapshot does not hold the position of a Python layer")
    before = _positions(net)
    mine, theirs = [(la.name, la.type) for la, _ in before], [pair[:2] for pair in layers]
    if mine != theirs:
        raise CaffeError(f"the layers that read data are {_listed(mine)}, not {_listed(theirs)}")
    try:
        for (layer, _), (_, _, place) in zip(before, layers, strict=True):
            layer.move_to(place)
    except CaffeError:
        for layer, place in before:
            layer.move_to(place)
        raise


def _listed(layers: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"'{name}' ({type_name})" for name, type_name in layers) or "none"
