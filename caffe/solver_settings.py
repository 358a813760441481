"""A solver's settings, checked before any net is built."""

import os

from caffe import log, lr_policy, mode
from caffe.error import CaffeError
from caffe.proto.caffe_pb2 import SolverParameter
from caffe.update_rule import RULES, SGD


def check(param: SolverParameter, file: str) -> SGD:
    """Refuse wrong settings, and give the solver a snapshot_prefix if it has none.

    Parameters
    ----------
    param : SolverParameter
    file : str
        The solver's file, for errors.

    Returns
    -------
    SGD or another class of RULES
        The update rule.

    Raises
    ------
    CaffeError
    """
    if param.type not in RULES:
        raise CaffeError(
            f"{file}: unknown solver type '{param.type}'; the types are {', '.join(RULES)}"
        )
    try:
        lr_policy.check(param)
        rule = RULES[param.type](param)
    except CaffeError as error:
        raise CaffeError(f"{file}: {error}") from error
    if param.regularization_type not in ("L1", "L2"):
        raise CaffeError(
            f"{file}: unknown regularization_type '{param.regularization_type}'; the types are L1,"
            " L2"
        )
    if param.iter_size < 1 or param.average_loss < 1:
        raise CaffeError(f"{file}: iter_size and average_loss must be at least 1")
    _set_prefix(param, file)
    if param.snapshot > 0 and mode.root_solver():
        check_folder(param, file)
    return rule


def _set_prefix(param: SolverParameter, file: str) -> None:
    """Complete snapshot_prefix as Caffe does.

    If it is missing, it becomes the solver file's name; if it is a folder, that name is appended.
    """
    stem = os.path.splitext(file)[0]
    if not param.snapshot_prefix:
        param.snapshot_prefix = stem
        log.info(
            "upgrade_proto.cpp:1108", f"snapshot_prefix was not specified and is set to {stem}"
        )
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = os.path.join(param.snapshot_prefix, os.path.basename(stem))
        log.info(
            "upgrade_proto.cpp:1113",
            f"snapshot_prefix was a directory and is replaced to {param.snapshot_prefix}",
        )


def check_folder(param: SolverParameter, file: str) -> None:
    """Refuse a snapshot_prefix whose folder cannot be written."""
    folder = os.path.dirname(param.snapshot_prefix) or "."
    if not os.access(folder, os.W_OK):
        raise CaffeError(
            f"{file}: cannot write snapshots to {folder}/ (snapshot_prefix): make it with mkdir -p"
            f" {folder}"
        )
