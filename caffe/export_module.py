"""A net as a torch.nn.Module whose operations an exporter can follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe import export_layers, export_names
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Shape, as_sequence
from caffe.net import NetCore
from caffe.node import Node

OWN_LAYOUT = ("BatchNorm",)  # whose parameters are exported as export_names gives them
UNNAMED = ("LSTM", "RNN")  # whose parameters have Caffe's layout here, not torch's
RESHAPED = ("Reshape", "Flatten", "ArgMax")  # whose `shape` is fixed in `forward`


class Step(torch.nn.Module):
    """One layer: its parameters, and the function that computes its tops."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.layer = node.layer
        self.function = export_layers.function_of(node.layer, [b.shape for b in node.bottoms])
        if node.layer.type in OWN_LAYOUT:
            values = export_names.of_layer(node.layer)
        elif node.layer.type in UNNAMED:
            values = {f"blob_{i}": blob.tensor() for i, blob in enumerate(node.layer.blobs)}
        else:
            keys = list(export_names.of_layer(node.layer))
            values = dict(zip(keys, (b.tensor() for b in node.layer.blobs), strict=True))
        self.keys = list(values)
        for key, value in values.items():
            setattr(self, key, torch.nn.Parameter(value.detach(), requires_grad=False))

    def forward(self, *bottoms: torch.Tensor) -> Sequence[torch.Tensor]:
        """The tops."""
        self.layer.params = [getattr(self, key) for key in self.keys]
        self.layer.keeps = self.layer.overwrites = False
        return as_sequence(self.function(*bottoms))


class NetModule(torch.nn.Module):
    """A net: inputs in the order of `input_blobs`, outputs in that of `outputs`.

    Parameters
    ----------
    net : NetCore
        A net that `check` accepts, reshaped to the batch with which it is exported.
    """

    def __init__(self, net: NetCore) -> None:
        super().__init__()
        self.inputs, self.outputs = net.input_blobs, outputs(net)
        self.wiring: list[tuple[str, list[Blob], list[Blob]]] = []
        self.initializers: dict[str, str] = {}  # {name here: name in the file}
        self.layer_names: dict[str, str] = {}  # {name here: the layer's}
        names = export_names.layer_names(net)
        for i, (node, name) in enumerate(zip(net.nodes, names, strict=True)):
            if node.layer.fed_by_user:
                continue
            step = Step(node)
            self.add_module(f"layer{i}", step)
            self.layer_names[f"layer{i}"] = name
            self.initializers |= {f"layer{i}.{key}": f"{name}.{key}" for key in step.keys}
            self.wiring.append((f"layer{i}", node.bottoms, node.tops))

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The net's outputs."""
        values = dict(zip(self.inputs, inputs, strict=True))
        for name, bottoms, tops in self.wiring:
            found = getattr(self, name)(*[values[blob] for blob in bottoms])
            values |= zip(tops, found, strict=True)
        return tuple(values[blob] for blob in self.outputs)


def outputs(net: NetCore) -> list[Blob]:
    """The net's outputs, without inputs that no layer reads."""
    return [blob for blob in net.output_blobs if blob not in net.input_blobs]


def check(net: NetCore) -> None:
    """Refuse a net that cannot be exported.

    Raises
    ------
    CaffeError
        A layer cannot be exported, or the net has no Input layer, or an input without a shape.
    """
    for node in net.nodes:
        export_layers.check(node.layer)
    if not net.input_blobs:
        raise CaffeError(f"{net.file}: has no Input layer, so nothing can be fed to it")
    for blob in net.input_blobs:
        if not blob.shape or 0 in blob.shape:
            raise CaffeError(
                f"{net.file}: input '{blob.name}' has the shape {blob.shape}; give one,"
                f" such as -shape {blob.name}:1,3,227,227"
            )
    if not outputs(net):
        raise CaffeError(f"{net.file}: has no layer that computes an output")


def forget_states(net: NetCore) -> None:
    """Let recurrent layers start from zeros, as the exported net does in every call."""
    for node in net.nodes:
        if node.layer.type in UNNAMED:
            node.layer.kept = None


def take_any_batch(net: NetCore) -> bool:
    """Reshape the net to a batch of 2 and prepare it for any, if it has a batch axis.

    It has one if the first axes of all inputs are equal, all layers accept other values there, and
    the outputs follow.  If not, the net is left as it was.
    """
    before = [blob.shape for blob in net.input_blobs]
    if len({shape[0] for shape in before}) > 1 or any(n.layer.type in UNNAMED for n in net.nodes):
        return False
    try:
        three, two = (_shapes_with(net, before, batch) for batch in (3, 2))
    except CaffeError:
        three = two = []
    if not two or any(t[0] != (3, *w[0][1:]) for t, w in zip(three, two, strict=True) if w[1]):
        _shapes_with(net, before, before[0][0])
        return False
    for node in net.nodes:
        if node.layer.type in RESHAPED:
            other = dict(zip(net.blob_list, three, strict=True))[node.tops[0]][0]
            node.layer.shape = tuple(
                a if a == b else -1 for a, b in zip(node.layer.shape, other, strict=True)
            )
    return True


def _shapes_with(net: NetCore, inputs: list[Shape], batch: int) -> list[tuple[Shape, bool]]:
    """Per blob its shape with a batch of this size, and whether it is an output of the net."""
    for blob, shape in zip(net.input_blobs, inputs, strict=True):
        blob.reshape(batch, *shape[1:])
    net.reshape()
    return [(blob.shape, blob in outputs(net)) for blob in net.blob_list]
