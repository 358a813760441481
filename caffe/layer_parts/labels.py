"""Class labels and indices: floats in a blob, read as integers."""

import math

import torch

from caffe.layer import Layer, Shapes


def integers(
    layer: Layer, labels: torch.Tensor, classes: int, ignored: int | None = None
) -> torch.Tensor:
    """Labels as int64 (count,), checked by `check_range`.

    Parameters
    ----------
    layer : Layer
        For errors.
    labels : Tensor of float32
        Truncated to integers.
    classes : int
        Labels must be in 0..classes - 1; the error names one that is not.
    ignored : int, optional
        A label that may be outside that range.
    """
    labels = labels.detach().reshape(-1).long()
    check_range(layer, "label", labels if ignored is None else labels[labels != ignored], classes)
    return labels


def check_range(layer: Layer, word: str, numbers: torch.Tensor, count: int) -> None:
    """Refuse integers outside 0..count - 1; the error calls them `word`.

    Only on the CPU: on a GPU the check would have to wait for the numbers.
    """
    if numbers.device.type == "cpu":
        wrong = numbers[(numbers < 0) | (numbers >= count)]
        if len(wrong):
            layer.fail(f"{word} {int(wrong[0])} is outside 0..{count - 1}")


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
