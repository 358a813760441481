"""Class labels of losses: floats in a blob, read as integers."""

import math

import torch

from caffe.layer import Layer, Shapes


def integers(
    layer: Layer, labels: torch.Tensor, classes: int, ignored: int | None = None
) -> torch.Tensor:
    """Labels as int64 (count,).

    On the CPU they are checked; on a GPU the check would have to wait for it.

    Parameters
    ----------
    layer : Layer
        For errors.
    labels : Tensor of float32
        They are truncated.
    classes : int
        Labels must be in 0..classes - 1.
    ignored : int, optional
        A label that need not be.
    """
    labels = labels.detach().reshape(-1).long()
    if labels.device.type == "cpu":
        wrong = (labels < 0) | (labels >= classes)
        if ignored is not None:
            wrong &= labels != ignored
        if wrong.any():
            layer.fail(f"label {int(labels[wrong][0])} is outside 0..{classes - 1}")
    return labels


def check_one_per_item(layer: Layer, items: str, shapes: Shapes) -> None:
    """Refuse bottoms that are not `items` (N, ...) and N labels."""
    first, labels = shapes
    if not first or math.prod(labels) != first[0]:
        layer.fail(
            f"{items} {first} need one label per item; there are {math.prod(labels)} labels"
            f" {labels}"
        )


def counted(layer: Layer, labels: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels as int64 (count,), and which of them count (bool): not loss_param.ignore_label."""
    p = layer.param.loss_param
    if not p.HasField("ignore_label"):
        labels = integers(layer, labels, classes)
        return labels, torch.ones_like(labels, dtype=torch.bool)
    labels = integers(layer, labels, classes, p.ignore_label)
    return labels, labels != p.ignore_label
