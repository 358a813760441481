"""Snapshots of a solver: its weights and its state, written together and restored together.

Caffe: Solver::Snapshot, Restore.  A .solverstate is binary protobuf or HDF5 (see hdf5_snapshot.py),
and is recognised by its content.  weights_file.py has the weights; resume.py finds the newest
snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from caffe import (
    hdf5_file,
    hdf5_snapshot,
    leftovers,
    log,
    mode,
    resume_point,
    weights_file,
    wire,
)
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.whole_file import renamed_when_whole

if TYPE_CHECKING:
    from caffe.solver import Solver

STATE_LEARNED_NET, STATE_HISTORY, STATE_RESUME_POINT = 2, 3, 7301
MOST = 2**31 - 1  # iterations and steps are ints


@dataclass
class State:
    """A solver state as read from a file.

    Attributes
    ----------
    iter : int
    learned_net : str
        The weights' file.
    current_step : int
        Steps that the learning rate has taken.
    history : list of ndarray of float32
    resume_point : bytes
        See resume_point.py; empty in a state that BVLC Caffe wrote.
    """

    iter: int
    learned_net: str
    current_step: int
    history: list[np.ndarray]
    resume_point: bytes = b""


# ---------------------------------------------------------------------------------- of a solver


def take(solver: Solver) -> tuple[str, str]:
    """Write `<snapshot_prefix>_iter_<iter>` .caffemodel and .solverstate (with .h5 for HDF5).

    Returns
    -------
    (str, str)
        Both names.

    Raises
    ------
    CaffeError
        A file cannot be written.
    """
    p = solver.param
    leftovers.remove(f"{p.snapshot_prefix}_iter_", "*")
    hdf5 = p.snapshot_format == caffe_pb2.SolverParameter.HDF5
    end = ".h5" if hdf5 else ""
    model = f"{p.snapshot_prefix}_iter_{solver.iter}.caffemodel{end}"
    state = f"{p.snapshot_prefix}_iter_{solver.iter}.solverstate{end}"
    kind = "HDF5" if hdf5 else "binary proto"
    log.info("solver.cpp:464", f"Snapshotting to {kind} file {model}")
    write = solver.net.write_caffemodel_h5 if hdf5 else solver.net.write_caffemodel
    write(model, p.snapshot_diff)
    log.info("sgd_solver.cpp:284", f"Snapshotting solver state to {kind} file {state}")
    point, updater = resume_point.of_snapshot(solver).to_bytes(), solver.updater
    write_solverstate(state, solver.iter, model, updater.current_step, updater.history, point)
    return model, state


def restore(solver: Solver, path: str | os.PathLike[str], restart_data: bool = False) -> None:
    """Give a solver the weights, history, iteration and step of a snapshot, and its resume point.

    With `restart_data`, or without a resume point (BVLC Caffe writes none), data layers and random
    streams stay where they are.  In a new solver that is the beginning, as in Caffe.

    Raises
    ------
    CaffeError
        The state does not belong to this net, or its weights' file is missing; the solver is then
        as it was.
    """
    path = os.fspath(path)
    state, history = read_solverstate(path), solver.updater.history
    if len(state.history) != len(history):
        raise CaffeError(
            f"{path}: holds {len(state.history)} history blobs, this solver ({solver.param.type})"
            f" needs {len(history)}; is it of another net or solver type?"
        )
    for i, (mine, theirs) in enumerate(zip(history, state.history, strict=True)):
        if tuple(mine.shape) != theirs.shape:
            raise CaffeError(
                f"{path}: history blob {i} has the shape {theirs.shape}, this net needs"
                f" {tuple(mine.shape)}"
            )
    point = restored = None
    if state.resume_point and not restart_data:
        point = resume_point.read(state.resume_point, path)
        restored = resume_point.Restored(path, [state.resume_point, *point.others])
        if 0 < mode.solver_rank() < len(restored.points):
            point = resume_point.read(restored.points[mode.solver_rank()], path)
    if state.learned_net:
        solver.net.copy_trained_layers(weights_of(path, state))
    log.info("sgd_solver.cpp:336", "SGDSolver: restoring history")
    for mine, theirs in zip(history, state.history, strict=True):
        mine.copy_(torch.from_numpy(theirs.copy()))
    solver.iter, solver.updater.current_step = state.iter, state.current_step
    solver.begun_at, solver.restored = None, restored
    if point is not None:
        resume_point.restore(solver, point, path)


def weights_of(path: str, state: State) -> str:
    """The weights' file that a state names; if it is not there, the one beside the state.

    The two may have been moved together.

    Parameters
    ----------
    path : str
        The state's file.
    state : State
    """
    model = state.learned_net
    beside = os.path.join(os.path.dirname(path), os.path.basename(model))
    return beside if model and not os.path.exists(model) and os.path.exists(beside) else model


# ------------------------------------------------------------------------------- solver states


def write_solverstate(
    path: str | os.PathLike[str],
    iteration: int,
    learned_net: str,
    current_step: int,
    history: Sequence[torch.Tensor],
    point: bytes = b"",
) -> None:
    """Write a solver state; it is HDF5 if its name ends in .h5, otherwise binary.

    Parameters
    ----------
    path : str
    iteration, current_step : int
    learned_net : str
        Name of the weights' file.
    history : list of torch.Tensor
    point : bytes
        A resume point (see resume_point.py), if there is one.

    Raises
    ------
    CaffeError
        The file cannot be written.
    """
    values = (weights_file.host(tensor) for tensor in history)
    with renamed_when_whole(path) as temporary:
        if os.fspath(path).endswith(".h5"):
            hdf5_snapshot.write_state(
                temporary, iteration, learned_net, current_step, values, point
            )
            return
        with open(temporary, "wb") as f:
            f.write(
                caffe_pb2.SolverState(iter=iteration, current_step=current_step).SerializeToString()
            )
            name = os.fsencode(learned_net)
            f.write(wire.header(STATE_LEARNED_NET, len(name)) + name)
            for array in values:
                for piece in wire.nested(STATE_HISTORY, wire.blob_pieces(array)):
                    f.write(piece)
            if point:
                f.write(wire.header(STATE_RESUME_POINT, len(point)) + point)


def read_solverstate(path: str | os.PathLike[str]) -> State:
    """Read a solver state, binary or HDF5; its name does not matter.

    Parameters
    ----------
    path : str

    Returns
    -------
    State

    Raises
    ------
    CaffeError
    """
    path = os.fspath(path)
    if hdf5_file.is_hdf5(path):
        state = State(*hdf5_snapshot.read_state(path))
    else:
        with weights_file.mapped(path) as view:
            found, rest = wire.split(view, (STATE_HISTORY,))
            head = wire.parse(caffe_pb2.SolverState(), rest, weights_file.damaged(path))
            if not head.HasField("iter"):
                raise CaffeError(f"{path}: holds no iteration; is it a .solverstate?")
            history = [
                weights_file.parsed_blob(blob, f"{path}: history blob {i}").array()
                for i, blob in enumerate(found[STATE_HISTORY])
            ]
        state = State(
            head.iter,
            os.fsdecode(head.learned_net),
            head.current_step,
            history,
            head.resume_point,
        )
    for word, value in (("iteration", state.iter), ("current_step", state.current_step)):
        if not 0 <= value <= MOST:
            raise CaffeError(f"{path}: the {word} is {value}; it must be from 0 to {MOST}")
    return state
