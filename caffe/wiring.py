"""Wiring: turning the layers of a NetParameter into nodes that share blobs and parameters.

Caffe: Net::Init.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from caffe import allocation, log
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Layer
from caffe.layer_factory import create
from caffe.node import Node, Parameter
from caffe.proto import caffe_pb2

AUTOMATIC = "(automatic)"  # the name of a loss's top that the prototxt does not name


class Wiring:
    """The nodes of a net, and what they are wired with.

    What the layers fill in while they are made is written back into `param`, because it is saved
    with the weights.

    Parameters
    ----------
    param : NetParameter
        After net_parameter.filter_net and insert_splits.
    file : str
        Where it came from, for errors.
    device : torch.device

    Attributes
    ----------
    nodes : list of Node
    blobs : list of Blob
        In the order in which they are produced.
    inputs, outputs : list of Blob
        The tops of Input layers; the blobs that no layer reads, by name.
    learnable : list of Parameter
        Each once, however many layers share it.
    """

    def __init__(self, param: caffe_pb2.NetParameter, file: str, device: torch.device) -> None:
        self.file, self.device = file, device
        self.nodes: list[Node] = []
        self.blobs: list[Blob] = []
        self.inputs: list[Blob] = []
        self.learnable: list[Parameter] = []
        self._unread: dict[str, Blob] = {}
        self._needed: set[Blob] = set()  # a parameter below needs their gradient
        self._names: set[str] = set()
        self._shared: dict[str, Parameter] = {}  # by the name in their `param` entry
        self._numbers = 0  # elements of all blobs so far
        self._required = 0  # bytes, as Caffe counts them: shared memory more than once
        for layer_param in param.layer:
            if not layer_param.HasField("phase"):
                layer_param.phase = param.state.phase
            self._append(layer_param)
        _prune_backward(self.nodes)
        if param.force_backward:
            _force_backward(self.nodes)
        self.outputs = [self._unread[name] for name in sorted(self._unread)]
        for blob in self.outputs:
            log.info("net.cpp:244", f"This network produces output {blob.name}")

    def _append(self, given: caffe_pb2.LayerParameter) -> None:
        """Make the layer that `given` describes, wire it, and write back what it has filled in."""
        if given.propagate_down and len(given.propagate_down) != len(given.bottom):
            raise CaffeError(
                f"{self.file}: layer '{given.name}': propagate_down is given once per bottom or"
                " not at all"
            )
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(given)
        log.info("layer_factory.hpp:77", f"Creating layer {param.name}")
        layer = create(param, self.file, self.device)
        log.info("net.cpp:86", f"Creating Layer {param.name}")
        bottoms = [self._bottom(layer, j, name) for j, name in enumerate(param.bottom)]
        reached = [blob in self._needed for blob in bottoms]
        missing = layer.num_top[0] - len(param.top) if layer.auto_top_blobs() else 0
        param.top.extend([AUTOMATIC] * missing)
        layer.check_counts(len(param.bottom), len(param.top))
        tops = [self._top(layer, j, bottoms) for j in range(len(param.top))]
        node = Node(layer, bottoms, tops, bottom_needs=list(param.propagate_down) or reached)
        node.loss_weights = [0.0] * len(tops)
        self.nodes.append(node)
        with node.enough_memory():
            self._set_up(node)
        log.info("net.cpp:124", f"Setting up {param.name}")
        self._weigh_tops(node)
        learns = self._append_params(node, len(given.param))
        node.needs_backward = any(reached) or learns
        if node.needs_backward:
            self._needed.update(tops)
        given.CopyFrom(param)
        # tops that the prototxt does not name are not saved
        del given.top[len(given.top) - missing :]

    def _bottom(self, layer: Layer, index: int, name: str) -> Blob:
        if name not in self._unread:
            layer.fail(f"bottom {index} is the unknown blob '{name}'")
        log.info("net.cpp:408", f"{layer.name} <- {name}")
        return self._unread.pop(name)

    def _top(self, layer: Layer, index: int, bottoms: Sequence[Blob]) -> Blob:
        param = layer.param
        name = param.top[index]
        if index < len(param.bottom) and name == param.bottom[index]:
            log.info("net.cpp:369", f"{layer.name} -> {name} (in-place)")
            blob = bottoms[index]
        elif name in self._names and name != AUTOMATIC:
            layer.fail(f"top blob '{name}' is produced by another layer already")
        else:
            log.info("net.cpp:382", f"{layer.name} -> {name}")
            blob = Blob((), self.device, name)
            self.blobs.append(blob)
            self._names.add(name)
            if param.type == "Input":
                self.inputs.append(blob)
        if name != AUTOMATIC:
            self._unread[name] = blob
        return blob

    def _set_up(self, node: Node) -> None:
        """Let the layer make its parameters and give its tops their shapes."""
        layer = node.layer
        if layer.calls_user:
            layer.connect(node.bottoms, node.tops)
        layer.setup([blob.shape for blob in node.bottoms])
        node.reshape()
        if not layer.shares_data:
            self._numbers += sum(top.count for top in node.tops if top not in node.bottoms)
            what = f"{layer.where}: the net's data up to this layer"
            if self._numbers > layer.LARGE:
                allocation.check(what, self._numbers, self.device, layer.size_fields)
        for top, value in zip(node.tops, layer.first_tops(), strict=False):
            top.put(value)

    def _weigh_tops(self, node: Node) -> None:
        """Give the tops their weights in the loss, fill their diffs with them, and log them."""
        node.loss_weights = _loss_weights(node.layer)
        for blob, weight in zip(node.tops, node.loss_weights, strict=True):
            shape = " ".join([*map(str, blob.shape), f"({blob.count})"])
            log.info("net.cpp:131", f"Top shape: {shape}")
            if weight:
                log.info("net.cpp:134", f"    with loss weight {log.number(weight)}")
                blob.diff_tensor().fill_(weight)
            self._required += 4 * blob.count
        log.info("net.cpp:139", f"Memory required for data: {self._required}")

    def _append_params(self, node: Node, given: int) -> bool:
        """Register the layer's parameters; return whether one of them is learnt.

        As in Caffe, only the `given` first entries, those of the prototxt, can say that a parameter
        is not learnt.  The entries that a BatchNorm adds itself (lr_mult 0) do not count.
        """
        layer, entries = node.layer, node.layer.param.param
        if len(entries) > len(layer.blobs):
            layer.fail(
                f"has {len(layer.blobs)} parameter blob(s), the prototxt gives {len(entries)}"
                " `param` entries"
            )
        for i, blob in enumerate(layer.blobs):
            spec = entries[i] if i < len(entries) else caffe_pb2.ParamSpec()
            node.param_needs.append(spec.lr_mult != 0)
            if spec.name and spec.name in self._shared:
                parameter = self._shared[spec.name]
                _share(layer, i, spec, parameter)
            else:
                parameter = Parameter(blob, spec.lr_mult, spec.decay_mult, layer, spec)
                self.learnable.append(parameter)
                if spec.name:
                    self._shared[spec.name] = parameter
            node.params.append(parameter)
        return any(need or i >= given for i, need in enumerate(node.param_needs))


def _share(layer: Layer, index: int, spec: caffe_pb2.ParamSpec, parameter: Parameter) -> None:
    """Let blob `index` of the layer use a parameter that an earlier layer owns."""
    blob, owner = layer.blobs[index], parameter.blob
    permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
    if blob.count != owner.count or (not permissive and blob.shape != owner.shape):
        layer.fail(
            f"shares param '{spec.name}' of layer '{parameter.owner.name}', but blob {index} is"
            f" {blob.shape}, not {owner.shape}"
        )
    for name in ("lr_mult", "decay_mult"):
        if spec.HasField(name):
            value = getattr(spec, name)
            if parameter.spec.HasField(name) and value != getattr(parameter, name):
                layer.fail(
                    f"shares param '{spec.name}' of layer '{parameter.owner.name}' with another"
                    f" {name}"
                )
            setattr(parameter, name, value)
    blob.share_data(owner)
    blob.share_diff(owner)


def _loss_weights(layer: Layer) -> list[float]:
    """The weight of each top in the net's loss; a loss's default is written into its param."""
    param = layer.param
    if param.loss_weight and len(param.loss_weight) != len(param.top):
        layer.fail(f"loss_weight is given {len(param.loss_weight)} times for {len(param.top)} tops")
    if not param.loss_weight and layer.is_loss:
        param.loss_weight.extend(layer.default_loss_weight(i) for i in range(len(param.top)))
    return list(param.loss_weight) or [0.0] * len(param.top)


def _prune_backward(nodes: Sequence[Node]) -> None:
    """Switch backward off where no loss is reached, and below blobs that need no gradient.

    The rules are Caffe's.
    """
    under_loss: set[str] = set()  # names of blobs
    skipped: set[str] = set()
    for node in reversed(nodes):
        names = [blob.name for blob in node.tops]
        contributes = any(
            weight or name in under_loss
            for weight, name in zip(node.loss_weights, names, strict=True)
        )
        if node.needs_backward and names and skipped.issuperset(names):
            node.needs_backward = False
            node.bottom_needs = [False] * len(node.bottoms)
        if not contributes:
            node.needs_backward = False
            node.bottom_needs = [False] * len(node.bottoms)
        verdict = "needs" if node.needs_backward else "does not need"
        position = "net.cpp:200" if node.needs_backward else "net.cpp:202"
        log.info(position, f"{node.name} {verdict} backward computation.")
        if contributes:
            under_loss.update(blob.name for blob in node.bottoms)
        skipped.update(
            blob.name
            for blob, need in zip(node.bottoms, node.bottom_needs, strict=True)
            if not need
        )


def _force_backward(nodes: Sequence[Node]) -> None:
    """Run backward through every layer, to every bottom that allows it and to every parameter."""
    for node in nodes:
        node.needs_backward = True
        node.bottom_needs = [
            need or node.layer.allow_force_backward(j) for j, need in enumerate(node.bottom_needs)
        ]
        node.param_needs = [True] * len(node.params)
