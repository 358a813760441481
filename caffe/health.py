"""What a training that goes wrong looks like: losses and weights that are not finite, outputs that
are all alike.
"""

import math

import torch

from caffe import log, resume
from caffe.error import CaffeError

# Outputs whose variance over the images of a batch is below this are taken for collapsed.  A
# healthy TextTopicNet shows 2.7e-5 to 2.2e-2 per topic, a collapsed one 1e-9 (PyTorch port's
# analysis of 10,000 images).
COLLAPSED = 1e-7
CHUNK = 1 << 20  # elements that are checked at once


def _advice(param):
    """What to do about a divergence: the newest good snapshot, and which settings to change."""
    newest = resume.newest(param.snapshot_prefix)
    start = f"resume from {newest}" if newest else "start again"
    return f"{start} with a lower base_lr ({param.base_lr:g}) or with clip_gradients"


def check_loss(loss, iteration: int, param, file: str):
    """Stop a training whose loss is NaN or infinite: its weights are lost.

    Parameters
    ----------
    loss : torch.Tensor
        One number.
    iteration : int
    param : SolverParameter
    file : str
        The solver's.

    Raises
    ------
    CaffeError
        Naming the newest good snapshot.
    """
    value = float(loss)
    if not math.isfinite(value):
        word = "NaN" if math.isnan(value) else "infinite"
        raise CaffeError(f"{file}: the loss is {word} at iteration {iteration}: {_advice(param)}")


def _finite(tensor):
    flat = tensor.detach().reshape(-1)
    return all(
        bool(torch.isfinite(flat[at : at + CHUNK]).all()) for at in range(0, flat.numel(), CHUNK)
    )


def check_weights(solver):
    """Refuse to snapshot weights, or a history of them, that are not finite.

    Parameters
    ----------
    solver : Solver

    Raises
    ------
    CaffeError
        Naming layer and blob, and the newest good snapshot.
    """
    bad = next(
        (
            f"layer '{name}', blob {i}"
            for name, layer in zip(solver.net.layer_names, solver.net.layer_list, strict=True)
            for i, blob in enumerate(layer.blobs)
            if not _finite(blob.tensor())
        ),
        None,
    )
    if bad is None and not all(map(_finite, solver.history)):
        bad = "the history of the updates"
    if bad:
        raise CaffeError(
            f"{solver.file}: {bad} holds NaN or infinite values at iteration {solver.iter}, no snapshot was written:"
            f" {_advice(solver.param)}"
        )


def warn_of_collapse(net):
    """Warn where what goes into a loss hardly differs between the images of the last batch."""
    for layer, variance in net.output_variances():
        if variance < COLLAPSED:
            log.warning(
                "solver.cpp:260",
                f"Outputs into layer {layer} hardly differ between the images of the batch (variance {log.number(variance)}):"
                " the network has collapsed, or has not begun to learn; if this goes on, look at the labels, the order of"
                " the data and base_lr",
            )
