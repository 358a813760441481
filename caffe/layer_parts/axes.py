"""Axes of a bottom: which one a setting means (Concat, Slice), and blobs aligned with some of them.

Bias and Scale have such blobs.
"""

import torch
from google.protobuf.message import Message

from caffe.layer import Layer, Shape


def chosen_axis(layer: Layer, param: Message, old_name: str, shape: Shape) -> int:
    """The axis that `axis` or its old name gives; giving both is an error."""
    if param.HasField(old_name):
        if param.HasField("axis"):
            layer.fail(f"give axis or {old_name}, not both")
        return layer.axis(getattr(param, old_name), shape, old_name)
    return layer.axis(param.axis, shape)


def learnt_shape(layer: Layer, param: Message, shape: Shape) -> Shape:
    """The shape of the bottom's axes that `axis` and `num_axes` choose (Bias, Scale)."""
    axis = layer.axis(param.axis, shape)
    if param.num_axes < -1:
        layer.fail(f"num_axes must be -1 or more, it is {param.num_axes}")
    end = len(shape) if param.num_axes == -1 else axis + param.num_axes
    if end > len(shape):
        layer.fail(
            f"axis {param.axis} and num_axes {param.num_axes} reach beyond a bottom of shape"
            f" {shape}"
        )
    return shape[axis:end]


def first_axis(layer: Layer, param: Message, part: Shape, shape: Shape) -> int:
    """The first axis of `shape` with which `part` is aligned; it must fit there."""
    axis = layer.axis(param.axis, shape) if part else 0
    if tuple(shape[axis : axis + len(part)]) != tuple(part):
        layer.fail(
            f"a blob of shape {tuple(part)} does not fit a bottom of shape {shape} from axis"
            f" {axis} on"
        )
    return axis


def spread(part: torch.Tensor, axis: int, dims: int) -> torch.Tensor:
    """View `part` so that it broadcasts against a tensor of `dims` axes from `axis` on."""
    return part.reshape(*part.shape, *(1,) * (dims - axis - part.dim()))
