"""Which snapshot a training resumes from (the newest whole one), and which older ones are removed.

The newest snapshot of a prefix is the one with the highest iteration number.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from caffe import log, snapshot, weights_file
from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.solver import Solver

STATE = re.compile(r"_iter_(\d+)\.solverstate(\.h5)?")


def states(prefix: str) -> list[tuple[int, str]]:
    """The solver states of a snapshot_prefix.

    Returns
    -------
    list of (int, str)
        Iteration and file, the newest first.
    """
    found = []
    for path in glob.glob(f"{glob.escape(prefix)}_iter_*.solverstate*"):
        match = STATE.fullmatch(path[len(prefix) :])
        if match:
            found.append((int(match[1]), path))
    return sorted(found, reverse=True)


def check(path: str) -> None:
    """Read a solver state and its weights, and check that both are whole and all numbers finite.

    Parameters
    ----------
    path : str
        A file as Caffe names it, ..._iter_<number>.solverstate.

    Raises
    ------
    CaffeError
        What is wrong with it, naming the file.
    """
    state = snapshot.read_solverstate(path)
    match = STATE.search(path)
    if match and int(match[1]) != state.iter:
        raise CaffeError(f"{path}: holds iteration {state.iter}, not the {match[1]} of its name")
    if not all(np.isfinite(values).all() for values in state.history):
        raise CaffeError(f"{path}: its history holds NaN or infinite values")
    model = snapshot.weights_of(path, state)
    if not model:
        raise CaffeError(f"{path}: does not name its weights")
    for name, blobs in weights_file.read_caffemodel(model).items():
        if not all(np.isfinite(blob.array()).all() for blob in blobs):
            raise CaffeError(f"{model}: layer '{name}' holds NaN or infinite values")


def newest(prefix: str) -> str | None:
    """The newest whole snapshot of a snapshot_prefix; damaged ones are skipped with a warning.

    Returns
    -------
    str or None
        The .solverstate (or .solverstate.h5) to resume from.
    """
    return next(good(prefix), None)


def good(prefix: str) -> Iterator[str]:
    """Yield the whole snapshots of a snapshot_prefix, the newest first.

    Damaged ones are skipped with a warning.
    """
    for _, path in states(prefix):
        try:
            check(path)
        except CaffeError as error:
            _warn_of_skipped(path, error)
        else:
            yield path


def restore_newest(solver: Solver, restart_data: bool = False) -> str | None:
    """Resume from the newest snapshot of snapshot_prefix that is whole and belongs to this net.

    Snapshots that are damaged, of another net, or beyond max_iter are skipped with a warning.

    Parameters
    ----------
    solver : Solver
    restart_data : bool
        As for snapshot.restore.

    Returns
    -------
    str or None
        The state resumed from; None where there is none, and the training starts from the
        beginning.
    """
    prefix = solver.param.snapshot_prefix
    for path in good(prefix):
        try:
            iteration = snapshot.read_solverstate(path).iter
            if iteration > solver.param.max_iter:
                raise CaffeError(
                    f"iteration {iteration} is beyond max_iter, {solver.param.max_iter}"
                )
            solver.restore(path, restart_data)
        except CaffeError as error:
            _warn_of_skipped(path, error)
            continue
        log.info("caffe.cpp:235", f"Resuming from {path}")
        return path
    log.info(
        "caffe.cpp:235", f"Found no snapshot of {prefix} to resume from: starting at iteration 0"
    )
    return None


def remove_older(prefix: str, iteration: int, keep: int) -> None:
    """Remove a training's older snapshots, states and weights.

    Files are removed only after the newest snapshot has reached the disk, so nothing is lost if the
    machine crashes.  Weights without a state, and snapshots of later iterations, stay.

    Parameters
    ----------
    prefix : str
        The snapshot_prefix.
    iteration : int
        The iteration of the snapshot that was just written; it stays.
    keep : int
        How many snapshots stay; 0: all.
    """
    before = sorted({number for number, _ in states(prefix) if number < iteration})
    old = before[: 1 - keep] if keep > 1 else before
    if not keep or not old:
        return
    try:
        for path in _files(prefix, iteration):
            _flush(path)
        _flush(os.path.dirname(prefix) or ".")
        for number in old:
            for path in _files(prefix, number):
                os.remove(path)
    except OSError as error:
        log.warning(
            "solver.cpp:464", f"old snapshots of {prefix} cannot be removed ({error.strerror})"
        )


def _files(prefix: str, iteration: int) -> list[str]:
    """The regular files of a snapshot, its states before its weights."""
    names = [
        f"{prefix}_iter_{iteration}.{kind}{end}"
        for kind in ("solverstate", "caffemodel")
        for end in ("", ".h5")
    ]
    return [name for name in names if os.path.isfile(name)]


def _flush(path: str) -> None:
    """Make the system write a file, or the names in a folder, to the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _warn_of_skipped(path: str | os.PathLike[str], reason: CaffeError) -> None:
    log.warning("caffe.cpp:235", f"{path} is skipped: {reason}")
