"""Each layer type as the operations that an exporter can follow.

Most layers are exported as they compute (`Layer.forward`).  The functions here are for those whose
forward has a gradient of its own, looks at the numbers, or has a simpler form that other runtimes
know.  Caffe's rules stay: sizes of poolings are rounded up, AVE divides by the window clipped to
the padded bottom, and so on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from caffe.layer import Layer, Shape
from caffe.proto import caffe_pb2

Tensors = Sequence[torch.Tensor]
Function = Callable[..., "torch.Tensor | Tensors"]

READING, SCORING = "reads data", "is for training or scoring"
REFUSED = {
    READING: ("Data", "ImageData", "HDF5Data", "MemoryData", "DummyData"),
    SCORING: ("Accuracy",),
    "runs a Python class": ("Python",),
    "writes a file": ("HDF5Output",),
    "gives as many items as its data decide": ("Filter",),
    "has no counterpart in ONNX": ("ROIPooling", "Im2col"),
}


def check(layer: Layer) -> None:
    """Refuse a layer that cannot be exported.

    Raises
    ------
    CaffeError
        The message names the layer and says why.
    """
    why = next((why for why, types in REFUSED.items() if layer.type in types), "")
    if layer.is_loss:
        why = SCORING
    elif not type(layer).__module__.startswith("caffe.layers."):
        why = "is of a type of your own"
    if why:
        remedy = "; give the net's deploy prototxt" if why in (SCORING, READING) else ""
        layer.fail(f"{why}, so it cannot be exported{remedy}")


def function_of(layer: Layer, bottoms: Sequence[Shape]) -> Function:
    """The function that computes the tops of a layer from its bottoms, when a net is exported.

    Like `Layer.forward` it reads the parameters from `layer.params`.

    Parameters
    ----------
    layer : Layer
        After `reshape`.
    bottoms : list of tuple
        Their shapes.
    """
    if layer.type == "Pooling" and len(layer.param.top) == 1:
        return _pooling(layer, bottoms[0])
    if layer.type == "SPP":
        bins = [_pooling(level, bottoms[0]) for level in layer.levels]
        if len(bins) == 1:
            return bins[0]
        return lambda x: torch.cat([pool(x).flatten(1) for pool in bins], 1)
    made = _MAKERS.get(layer.type)
    return layer.forward if made is None else functools.partial(made, layer)


def _onnx(
    name: str, x: torch.Tensor, settings: dict[str, Any], shape: Sequence[int] | None = None
) -> torch.Tensor:
    """One ONNX operator of one input."""
    shape = x.shape if shape is None else shape
    return torch.onnx.ops.symbolic(name, (x,), settings, dtype=x.dtype, shape=shape)


def _pooling(layer: Layer, shape: Shape) -> Function:
    """MaxPool or AveragePool, with Caffe's sizes and divisors.

    The windows that are rounded up reach beyond the padded bottom: that is padding at the end only.
    AveragePool then leaves padding out of its divisor, so Caffe's own padding, which counts, goes
    in as zeros before.
    """
    over = [
        max(0, (out - 1) * s + k - size - 2 * p)
        for out, s, k, size, p in zip(
            layer.size, layer.stride, layer.kernel, shape[2:], layer.pad, strict=True
        )
    ]
    settings = {"kernel_shape": list(layer.kernel), "strides": list(layer.stride)}
    pad = layer.pad

    def pool(x: torch.Tensor) -> torch.Tensor:
        size = (*x.shape[:2], *layer.size)
        if layer.maximum:
            ends = [*pad, pad[0] + over[0], pad[1] + over[1]]
            return _onnx("MaxPool", x, settings | {"pads": ends}, size)
        if any(pad):
            x = F.pad(x, (pad[1], pad[1], pad[0], pad[0]))
        more = {"pads": [0, 0, *over], "count_include_pad": 0}
        return _onnx("AveragePool", x, settings | more, size)

    return pool


def _lrn(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    p = layer.param.lrn_param
    if not layer.across:
        return layer.forward(x)
    settings = {"alpha": p.alpha, "beta": p.beta, "bias": p.k, "size": p.local_size}
    return _onnx("LRN", x, settings)


def _batch_norm(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    mean, variance = layer.params
    if layer.use_global:
        return F.batch_norm(x, mean, variance, eps=layer.eps)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / (variance + layer.eps).sqrt()


def _mvn(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    p = layer.param.mvn_param
    axes = list(range(1 if p.across_channels else 2, x.dim()))
    if not axes:  # every value is its own channel
        return x - x
    x = x - x.mean(axes, keepdim=True)
    if not p.normalize_variance:
        return x
    return x / (x.square().mean(axes, keepdim=True).sqrt() + p.eps)


def _eltwise(layer: Layer, *bottoms: torch.Tensor) -> torch.Tensor | Tensors:
    if layer.param.eltwise_param.operation != caffe_pb2.EltwiseParameter.MAX:
        return layer.forward(*bottoms)
    return functools.reduce(torch.maximum, bottoms)


def _argmax(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    """Caffe takes the last of equal values, and ONNX's TopK the first: so it gets them reversed."""
    p = layer.param.argmax_param
    along = 1 if layer.along is None else layer.along
    if layer.along is None:
        x = x.flatten(1)
    values, places = torch.topk(x.flip(along), p.top_k, along)
    indices = (x.shape[along] - 1 - places).to(x.dtype)
    if layer.along is not None:
        return values if p.out_max_val else indices
    return (torch.stack([indices, values], 1) if p.out_max_val else indices).reshape(layer.shape)


def _relu(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    slope = layer.param.relu_param.negative_slope
    return F.leaky_relu(x, slope) if slope else F.relu(x)


def _embed(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    y = F.embedding(x.long(), layer.params[0])
    return y + layer.params[1] if len(layer.params) > 1 else y


def _batch_reindex(_: Layer, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    return x.index_select(0, indices.long())


_MAKERS: dict[str, Callable] = {
    "ArgMax": _argmax,
    "BatchNorm": _batch_norm,
    "BatchReindex": _batch_reindex,
    "Eltwise": _eltwise,
    "Embed": _embed,
    "LRN": _lrn,
    "MVN": _mvn,
    "ReLU": _relu,
}
