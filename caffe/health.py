"""Trainings that go wrong: losses and weights that are not finite, outputs that have collapsed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from caffe import log, resume
from caffe.error import CaffeError

if TYPE_CHECKING:
    from caffe.net import NetCore
    from caffe.proto.caffe_pb2 import SolverParameter
    from caffe.solver import Solver

CHUNK = 1 << 20  # elements that are checked at once


class Diverged(CaffeError):
    """A training has gone wrong: a sentence of what happened, and what to do about it.

    Attributes
    ----------
    what : str
        The first part.
    """

    def __init__(self, what: str, param: SolverParameter) -> None:
        super().__init__(f"{what}: {_advice(param)}")
        self.what = what


def _advice(param: SolverParameter) -> str:
    """What to do about a divergence: the newest good snapshot, and which settings to change."""
    newest = resume.newest(param.snapshot_prefix)
    start = f"resume from {newest}" if newest else "start again"
    return f"{start} with a lower base_lr ({param.base_lr:g}) or with clip_gradients"


def check_loss(loss: torch.Tensor, iteration: int, param: SolverParameter, file: str) -> None:
    """Stop a training whose loss is NaN or infinite: its weights are lost.

    Parameters
    ----------
    loss : torch.Tensor
        One number.
    iteration : int
    param : SolverParameter
    file : str
        The solver's file, for the error.

    Raises
    ------
    Diverged
        The loss is not finite; the message names the newest good snapshot.
    """
    value = float(loss)
    if not math.isfinite(value):
        word = "NaN" if math.isnan(value) else "infinite"
        raise Diverged(f"{file}: the loss is {word} at iteration {iteration}", param)


def _finite(tensor: torch.Tensor) -> bool:
    flat = tensor.detach().reshape(-1)
    return all(
        bool(torch.isfinite(flat[at : at + CHUNK]).all()) for at in range(0, flat.numel(), CHUNK)
    )


def check_weights(solver: Solver) -> None:
    """Refuse to snapshot weights, or a history of their updates, that are not finite.

    Parameters
    ----------
    solver : Solver

    Raises
    ------
    Diverged
        The message names layer and blob, and the newest good snapshot.
    CaffeError
        On a GPU: since the last display, a layer has read a label outside its range.
    """
    solver.net.check_indices()
    bad = next(
        (
            f"layer '{node.name}', blob {i}"
            for node in solver.net.nodes
            for i, blob in enumerate(node.layer.blobs)
            if not _finite(blob.tensor())
        ),
        None,
    )
    if bad is None and not all(map(_finite, solver.updater.history)):
        bad = "the history of the updates"
    if bad:
        raise Diverged(
            f"{solver.file}: {bad} holds NaN or infinite values at iteration {solver.iter}, no"
            " snapshot was written",
            solver.param,
        )


def warn_of_collapse(net: NetCore, threshold: float) -> None:
    """Warn if the scores that go into a loss hardly differ between the images of the last batch.

    Parameters
    ----------
    net : NetCore
    threshold : float
        The least variance of healthy scores; what is usual depends on the net.
    """
    for layer, variance in net.output_variances():
        if variance < threshold:
            log.warning(
                "solver.cpp:260",
                f"Outputs into layer {layer} hardly differ between the images of the batch"
                f" (variance {log.number(variance)}): the network has collapsed, or has not begun"
                " to learn; if this continues, check the labels, the order of the data and base_lr",
            )
