"""Which snapshot a training resumes from: the newest of its prefix that is whole, by iteration
number.
"""

import glob
import os
import re

import numpy as np

from caffe import log, snapshot
from caffe.error import CaffeError

STATE = re.compile(r"_iter_(\d+)\.solverstate(\.h5)?")


def states(prefix: str) -> list:
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


def weights_of(path: str, state) -> str:
    """The weights' file that a state names; one beside the state counts where the two were moved
    together.

    Parameters
    ----------
    path : str
        The state's file.
    state : snapshot.State
    """
    model = state.learned_net
    beside = os.path.join(os.path.dirname(path), os.path.basename(model))
    return beside if model and not os.path.exists(model) and os.path.exists(beside) else model


def check(path: str):
    """Read a solver state and its weights, and see that both are whole and all their numbers
    finite.

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
    model = weights_of(path, state)
    if not model:
        raise CaffeError(f"{path}: does not name its weights")
    for name, blobs in snapshot.read_caffemodel(model).items():
        if not all(np.isfinite(blob.array()).all() for blob in blobs):
            raise CaffeError(f"{model}: layer '{name}' holds NaN or infinite values")


def newest(prefix: str):
    """The newest whole snapshot of a snapshot_prefix; damaged ones are skipped with a warning.

    Returns
    -------
    str or None
        The .solverstate (or .solverstate.h5) to resume from.
    """
    return next(iter(good(prefix)), None)


def good(prefix: str):
    """Yield the whole snapshots of a snapshot_prefix, the newest first; damaged ones are skipped
    with a warning.
    """
    for _, path in states(prefix):
        try:
            check(path)
        except CaffeError as error:
            skipped(path, error)
        else:
            yield path


def skipped(path: str, reason):
    """Say why a snapshot is not the one to resume from."""
    log.warning("caffe.cpp:235", f"{path} is left out: {reason}")
