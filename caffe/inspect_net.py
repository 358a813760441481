"""What a net is made of: shapes, parameters, memory and operations of its layers, without data.

The layers are made on PyTorch's device "meta", where tensors have shapes but no numbers.  So
nothing is filled, read or computed, however large the net is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch

from caffe import data_shapes, net_parameter
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Layer, Shape
from caffe.layer_factory import create
from caffe.proto import caffe_pb2
from caffe.wiring import AUTOMATIC

META = torch.device("meta")
FLOAT = 4  # bytes
# values that a solver keeps per learnt value, beside data and diff
HISTORY = {"AdaDelta": 2, "Adam": 2}
SINKS = ("HDF5Output",)  # making one opens its file


@dataclass
class BlobSummary:
    """A parameter blob of a layer: its shape, and the layer that owns it if that is another one."""

    shape: Shape
    lr_mult: float = 1.0
    owner: str = ""

    @property
    def count(self) -> int:
        """Its number of values."""
        return math.prod(self.shape)


@dataclass
class LayerSummary:
    """A layer of a net.

    Attributes
    ----------
    name, type : str
    bottoms : list of str
    tops : dict
        {blob name: shape}, None where the shape is unknown.
    blobs : list of BlobSummary
        Its parameters, in Caffe's order.
    multiply_adds : int or None
        Of a forward pass; None where a shape is unknown.
    new_values : int
        Values of its tops that need memory of their own: not those of a layer in place, or of one
        that only passes its bottom on.
    note : str
        What is assumed about it, or why its shapes are unknown.
    """

    name: str
    type: str
    bottoms: list[str]
    tops: dict[str, Shape | None]
    blobs: list[BlobSummary] = field(default_factory=list)
    multiply_adds: int | None = 0
    new_values: int = 0
    note: str = ""

    @property
    def parameters(self) -> int:
        """Values of its own parameters, without those that an earlier layer owns."""
        return sum(blob.count for blob in self.blobs if not blob.owner)


@dataclass
class NetSummary:
    """A net in one phase.

    Attributes
    ----------
    name, file, phase : str
    layers : list of LayerSummary
        Without the Split layers that Caffe inserts; they need no memory for data.
    solver_type : str
        Whose history counts as memory of the training.
    """

    name: str
    file: str
    phase: str
    layers: list[LayerSummary]
    solver_type: str = "SGD"

    @property
    def complete(self) -> bool:
        """Whether all shapes are known."""
        return all(shape is not None for layer in self.layers for shape in layer.tops.values())

    def totals(self) -> dict[str, int]:
        """Parameters, operations and bytes of the whole net; shapes that are unknown count as 0."""
        parameters = sum(layer.parameters for layer in self.layers)
        learnt = sum(
            blob.count
            for layer in self.layers
            for blob in layer.blobs
            if not blob.owner and blob.lr_mult
        )
        activations = FLOAT * sum(layer.new_values for layer in self.layers)
        found = {
            "parameters": parameters,
            "learnt_parameters": learnt,
            "parameter_bytes": FLOAT * parameters,
            "activation_bytes": activations,
            "multiply_adds": sum(layer.multiply_adds or 0 for layer in self.layers),
        }
        if self.phase == "TRAIN":
            slots = 2 + HISTORY.get(self.solver_type, 1)
            found["training_bytes"] = slots * FLOAT * parameters + 2 * activations
        return found

    def to_dict(self) -> dict:
        """For JSON; shapes are lists, or None."""
        rows = []
        for layer in self.layers:
            row = asdict(layer) | {"parameters": layer.parameters}
            row["tops"] = [{"name": name, "shape": shape} for name, shape in layer.tops.items()]
            rows.append(row)
        head = {"name": self.name, "phase": self.phase, "shapes_known": self.complete}
        return head | self.totals() | {"layers": rows}


def summarize(
    param: caffe_pb2.NetParameter,
    file: str,
    given: Mapping[str, Shape] | None = None,
    solver_type: str = "SGD",
) -> NetSummary:
    """Describe a net.

    Parameters
    ----------
    param : NetParameter
        With its state (phase, level, stages) set.
    file : str
        Where it came from, for errors.
    given : dict, optional
        {blob: shape} of blobs that data layers, Input layers or Python layers produce.
    solver_type : str

    Raises
    ------
    CaffeError
        A net that Caffe refuses, or a shape for a blob that another layer computes.
    """
    net = net_parameter.filter_net(param, file)
    net_parameter.insert_splits(net, file)  # for its checks
    walk = _Walk(file, net.state.phase, dict(given or {}))
    layers = [walk.layer(layer) for layer in net.layer]
    if walk.given:
        name = next(iter(walk.given))
        raise CaffeError(
            f"{file}: no Input, data or Python layer of this phase produces a blob '{name}', whose"
            " shape was given"
        )
    phase = caffe_pb2.Phase.Name(net.state.phase)
    return NetSummary(net.name, file, phase, layers, solver_type)


class _Walk:
    """Goes through the layers of a net in order; knows the shapes of the blobs so far."""

    def __init__(self, file: str, phase: int, given: dict[str, Shape]) -> None:
        self.file, self.phase, self.given = file, phase, given
        self.shapes: dict[str, Shape | None] = {}
        self.shared: dict[str, tuple[str, BlobSummary]] = {}  # by the name in their `param` entry

    def layer(self, param: caffe_pb2.LayerParameter) -> LayerSummary:
        """Describe the next layer."""
        if not param.HasField("phase"):
            param.phase = self.phase
        summary = LayerSummary(param.name, param.type, list(param.bottom), {})
        bottoms = [self.shapes[name] for name in param.bottom]
        if param.type in data_shapes.READERS:
            self._reader(param, summary)
        elif param.type in SINKS:
            summary.note = "writes a file"
        elif None in bottoms:
            create(param, self.file, META)  # for its checks of the type
            self._set_tops(param, summary, [None] * len(param.top))
            summary.multiply_adds = None
        else:
            self._computed(param, summary, bottoms)
        return summary

    def _reader(self, param: caffe_pb2.LayerParameter, summary: LayerSummary):
        """A layer whose shapes its data or the user's code decide."""
        given = {name: self.given.pop(name) for name in param.top if name in self.given}
        if set(given) >= set(param.top):
            found = [given[name] for name in param.top]
        else:
            shapes, summary.note = data_shapes.of_tops(param)
            found = [given.get(name, s) for name, s in zip(param.top, shapes, strict=True)]
            if given and None not in found:
                summary.note = ""
        self._set_tops(param, summary, found)

    def _computed(
        self,
        param: caffe_pb2.LayerParameter,
        summary: LayerSummary,
        bottoms: list[Shape],
    ):
        layer = create(param, self.file, META)
        missing = layer.num_top[0] - len(param.top) if layer.auto_top_blobs() else 0
        layer.param.top.extend([AUTOMATIC] * missing)
        layer.check_counts(len(param.bottom), len(param.top))
        try:
            layer.setup(bottoms)
            tops = [tuple(shape) for shape in layer.reshape(bottoms)]
        except CaffeError as error:
            raise CaffeError(f"{self.file}: {error}") from error
        if layer.fed_by_user:
            tops = [self.given.pop(n, s) for n, s in zip(param.top, tops, strict=True)]
        self._set_tops(param, summary, tops)
        for i, blob in enumerate(layer.blobs):
            specs = layer.param.param
            summary.blobs.append(
                self._parameter(param.name, blob.shape, specs[i] if i < len(specs) else None)
            )
        summary.multiply_adds = multiply_adds(layer, bottoms, tops)
        if layer.shares_data:
            summary.new_values = 0

    def _set_tops(
        self, param: caffe_pb2.LayerParameter, summary: LayerSummary, shapes: list[Shape | None]
    ):
        for name, shape in zip(param.top, shapes, strict=False):  # a loss's top may have no name
            summary.tops[name] = shape
            try:
                Blob(shape or (), META)  # for its checks
            except CaffeError as error:
                raise CaffeError(f"{self.file}: layer '{param.name}': {error}") from error
            if name not in param.bottom and shape is not None:
                summary.new_values += math.prod(shape)
            self.shapes[name] = shape

    def _parameter(self, layer: str, shape: Shape, spec: caffe_pb2.ParamSpec | None):
        blob = BlobSummary(shape, 1.0 if spec is None else spec.lr_mult)
        name = "" if spec is None else spec.name
        if name and name in self.shared:
            blob.owner, first = self.shared[name]
            if blob.count != first.count:
                raise CaffeError(
                    f"{self.file}: layer '{layer}' shares param '{name}' of layer '{blob.owner}',"
                    f" but it is {shape}, not {first.shape}"
                )
        elif name:
            self.shared[name] = layer, blob
        return blob


def multiply_adds(layer: Layer, bottoms: list[Shape], tops: list[Shape]) -> int:
    """The multiply-adds of a layer's products with its weights, in one forward pass.

    They are those of Convolution, Deconvolution, InnerProduct, LSTM and RNN.  Other layers, biases
    and functions of each element count as 0.
    """
    sizes = [blob.count for blob in layer.blobs]
    if layer.type == "Convolution":
        return sum(map(math.prod, tops)) * (sizes[0] // layer.num_output)
    if layer.type == "Deconvolution":
        return sum(map(math.prod, bottoms)) * (sizes[0] // layer.channels)
    if layer.type == "InnerProduct":
        return math.prod(bottoms[0]) * layer.param.inner_product_param.num_output
    if layer.type in ("LSTM", "RNN"):
        steps, streams = bottoms[0][:2]
        weights = [blob.count for blob in layer.blobs if len(blob.shape) == 2]
        static = weights.pop(1) if layer.static else 0
        return streams * (steps * sum(weights) + static)
    return 0
