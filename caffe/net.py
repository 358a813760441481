"""Net: nodes, their parameters and their weights (Caffe: net.cpp).

wiring.py makes the nodes; blob_by_blob.py and whole_graph.py run them.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence

import torch

from caffe import (
    blob_by_blob,
    debug_info,
    in_place,
    log,
    mode,
    net_parameter,
    precision,
    prototxt,
    weights_file,
    whole_graph,
)
from caffe.blob import Blob
from caffe.error import CaffeError
from caffe.layer import Layer
from caffe.node import Node, Parameter
from caffe.proto import caffe_pb2
from caffe.wiring import Wiring


class NetCore:
    """A net built from a NetParameter.

    Parameters
    ----------
    param : NetParameter
        With its state (phase, level, stages) set.
    file : str
        Where it came from, for errors.

    Attributes
    ----------
    nodes : list of Node
        The layers in order, the inserted Split layers included.
    blob_list : list of Blob
        In the order in which they are produced.
    input_blobs, output_blobs : list of Blob
        The tops of Input layers; the blobs that no layer reads, sorted by name.
    learnable : list of Parameter
        Each once, however many layers share it.
    keep_blobs : bool
        After `forward_backward`, keep every blob's data, or (False) only the net's outputs.
    debug_info : bool
        Log every blob's mean absolute value while the net runs blob by blob.
    callbacks : dict
        {"before_forward", "after_forward", "before_backward", "after_backward": list of
        functions}, each called with the layer's index.
    overwrites_needed : bool
        A layer overwrites in place what a gradient reads.
    precision : {'fp32', 'tf32', 'bf16'}
        The arithmetic (see precision.py).  Blob by blob, bf16 is fp32.
    """

    def __init__(self, param: caffe_pb2.NetParameter, file: str = "net") -> None:
        self.file = file
        self.device = mode.device()
        self.precision = precision.of_new_net(self.device)
        self.phase = param.state.phase
        param = net_parameter.filter_net(param, file)
        log.info(
            "net.cpp:53",
            "Initializing net from parameters: \n" + prototxt.to_text(param).rstrip("\n"),
        )
        self.param = net_parameter.insert_splits(param, file)
        self.name = param.name
        self.keep_blobs = True
        self.debug_info = param.debug_info
        self.callbacks: dict[str, list[Callable[[int], object]]] = {
            f"{when}_{way}": [] for way in ("forward", "backward") for when in ("before", "after")
        }
        wiring = Wiring(self.param, file, self.device)
        self.nodes = wiring.nodes
        # a reader thread keeps its layer alive: it ends with the net, as in Caffe's destructor
        weakref.finalize(self, _end_readers, [node.layer for node in self.nodes]).atexit = False
        self.blob_list = wiring.blobs
        self.input_blobs, self.output_blobs = wiring.inputs, wiring.outputs
        self.learnable = wiring.learnable
        in_place.mark_overwriting(self.nodes)
        self.overwrites_needed = in_place.overwrites_needed(self.nodes)
        if self.precision == "bf16" and self.overwrites_needed:
            log.warning(
                "net.cpp:257",
                f"{file} overwrites in place what a gradient reads: it runs blob by blob, where"
                " precision bf16 is fp32",
            )
        log.info("net.cpp:257", "Network initialization done.")

    # ------------------------------------------------------------------------------------ running
    def reshape(self) -> None:
        """Carry changed input shapes through to all blobs, without computing."""
        for node in self.nodes:
            node.reshape(always=node.layer.calls_user)

    def run_layers(self, start: int, end: int) -> float:
        """Run layers `start` to `end` (both included) blob by blob; return their weighted loss."""
        return blob_by_blob.forward(self, start, end)

    def run_layers_back(self, start: int, end: int) -> None:
        """Run layers `start` down to `end` (both included) backward, blob by blob.

        Parameter diffs add up until `clear_param_diffs`.
        """
        blob_by_blob.backward(self, start, end)

    def forward_backward(
        self,
        backward: bool = True,
        gradient_ready: Callable[[Parameter, torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        """Run the whole net once, as one graph; its parameter diffs add up.

        A net with callbacks, or with a layer that overwrites in place what a gradient reads, runs
        blob by blob instead.

        Parameters
        ----------
        backward : bool
        gradient_ready : callable, optional
            Called as ``gradient_ready(parameter, gradient)`` as soon as a parameter's gradient is
            known; the gradients are then not kept as diffs.

        Returns
        -------
        torch.Tensor
            The net's weighted loss (0-d, on the device, not synchronised).
        """
        by_blob = any(self.callbacks.values()) or (backward and self.overwrites_needed)
        way = blob_by_blob if by_blob else whole_graph
        return way.forward_backward(self, backward, gradient_ready)

    def debug_forward_backward(self) -> torch.Tensor:
        """Run the whole net once, blob by blob, with debug_info's log lines; return the loss.

        As in Caffe, later passes log no such lines, even if the net's prototxt asks for them.
        """
        self.debug_info = True
        loss = blob_by_blob.forward_backward(self, True, None)
        debug_info.log_parameters(self.learnable)
        self.debug_info = False
        return loss

    def wanted_parameters(self) -> set[Parameter]:
        """The parameters whose gradient some layer's backward computes."""
        return {
            parameter
            for node in self.nodes
            if node.needs_backward
            for parameter, need in zip(node.params, node.param_needs, strict=True)
            if need
        }

    @property
    def loss_weights(self) -> dict[Blob, float]:
        """{blob: its weight in the loss}, 0 for a blob that is not part of it."""
        return {
            top: weight
            for node in self.nodes
            for top, weight in zip(node.tops, node.loss_weights, strict=True)
        }

    def check_indices(self, start: int = 0, end: int | None = None) -> None:
        """Refuse labels and indices outside their range that layers on a GPU have read.

        On the CPU that has been done already.  On a GPU it waits for the layers that read some.

        Parameters
        ----------
        start, end : int
            Layers `start` up to but without `end`; by default all.

        Raises
        ------
        CaffeError
            The message names the layer, the index and its range.
        """
        for node in self.nodes[start:end]:
            if node.layer.seen is not None:
                node.layer.seen.check()

    def clear_param_diffs(self) -> None:
        """Set the diffs of all parameters to zero."""
        for parameter in self.learnable:
            parameter.blob.clear_diff()

    def output_variances(self) -> list[tuple[str, float]]:
        """How much the scores that went into each loss differed between the last batch's images.

        The scores are taken as the loss takes them: through a sigmoid or a softmax where it has
        one.

        Returns
        -------
        list of (str, float)
            Loss layer, and variance over the first axis, averaged over the others.
        """
        found = []
        for node in self.nodes:
            scores = node.scores
            if scores is None or scores.dim() < 2 or len(scores) < 2:
                continue
            if node.layer.type == "SigmoidCrossEntropyLoss":
                scores = torch.sigmoid(scores)
            elif node.layer.type == "SoftmaxWithLoss":
                scores = torch.softmax(scores, 1)
            found.append((node.name, float(scores.var(dim=0, unbiased=False).mean())))
        return found

    def close(self) -> None:
        """Stop the threads of the data layers."""
        for node in self.nodes:
            if hasattr(node.layer, "close"):
                node.layer.close()

    # ------------------------------------------------------------------------------------ weights
    def share_trained_layers(self, other: NetCore) -> None:
        """Use `other`'s parameters, by layer name (the test nets of a solver)."""
        if self.device != other.device and self.learnable:
            raise CaffeError(
                f"{self.file}: this net is on {self.device}, and the one it shares parameters with"
                f" on {other.device}; nets that share must be made in the same mode"
                " (caffe.set_mode_cpu, caffe.set_mode_gpu, caffe.set_device)"
            )
        theirs = {node.name: node.layer.blobs for node in other.nodes}
        for node in self.nodes:
            if node.name not in theirs:
                continue
            layer, source = node.layer, theirs[node.name]
            if len(source) != len(layer.blobs):
                layer.fail(
                    f"has {len(layer.blobs)} blobs here and {len(source)} in the net it shares"
                    " parameters with"
                )
            for i, (mine, blob) in enumerate(zip(layer.blobs, source, strict=True)):
                if mine.shape != blob.shape:
                    layer.fail(
                        f"blob {i} is {mine.shape} here and {blob.shape} in the net it shares"
                        " parameters with"
                    )
                mine.share_data(blob)

    def copy_trained_layers(self, path: str | os.PathLike[str]) -> None:
        """Copy weights from a file, by layer name.

        As in Caffe, layers that only one side has are left alone.  A blob that the file's layer
        lacks must be one that this net shares with an earlier layer.  Of several layers with the
        same name, the file's first one goes to the net's first one, and so on.

        Parameters
        ----------
        path : str
            A .caffemodel or .caffemodel.h5; its name does not matter.

        Raises
        ------
        CaffeError
            A blob does not fit; the message names file, layer, blob and both shapes, and the net
            is unchanged.
        """
        path = os.fspath(path)
        waiting: dict[str, list[tuple[Node, list[bool]]]] = {}
        for node, owned in zip(self.nodes, self._owned(), strict=True):
            waiting.setdefault(node.name, []).append((node, owned))
        copies: list[tuple[Blob, weights_file.BlobArray]] = []
        for name, blobs in weights_file.read_layers(path):
            if name not in waiting:
                log.info("net.cpp:742", f"Ignoring source layer {name}")
                continue
            node, owned = waiting[name].pop(0) if len(waiting[name]) > 1 else waiting[name][0]
            copies += _matched(path, node, owned, blobs)
        for target, source in copies:
            target.tensor().copy_(torch.from_numpy(source.array().reshape(target.shape).copy()))

    def _owned(self) -> list[list[bool]]:
        """Per layer and blob, whether the blob is the layer's own or shared with an earlier one."""
        seen: set[Parameter] = set()
        owned = []
        for node in self.nodes:
            owned.append([])
            for parameter in node.params:
                owned[-1].append(parameter not in seen)
                seen.add(parameter)
        return owned

    def _layer_blobs(self) -> list[Sequence[Blob]]:
        return [node.layer.blobs for node in self.nodes]

    def write_caffemodel(self, path: str | os.PathLike[str], with_diff: bool = False) -> None:
        """Write a .caffemodel: all layers with their settings and their parameters."""
        weights_file.write_caffemodel(
            os.fspath(path), self.param, self._layer_blobs(), with_diff=with_diff
        )

    def write_caffemodel_h5(self, path: str | os.PathLike[str], with_diff: bool = False) -> None:
        """Write the weights as HDF5 in Caffe's layout; blobs that layers share are written once."""
        weights_file.write_caffemodel_h5(
            os.fspath(path),
            [node.name for node in self.nodes],
            self._layer_blobs(),
            self._owned(),
            with_diff=with_diff,
        )


def _matched(
    path: str, node: Node, owned: Sequence[bool], blobs: dict[int, weights_file.BlobArray]
) -> list[tuple[Blob, weights_file.BlobArray]]:
    """(blob of the layer, its new values) for a layer of a file, which must fit."""
    targets = node.layer.blobs
    lacking = any(k not in blobs and own for k, own in enumerate(owned))
    if lacking or any(k >= len(targets) for k in blobs):
        raise CaffeError(
            f"{path}: layer '{node.name}' has {len(blobs)} blob(s), the net expects {len(targets)}"
        )
    for k, source in sorted(blobs.items()):
        if not same_shape(source, targets[k].shape):
            raise CaffeError(
                f"{path}: layer '{node.name}', blob {k} has the shape {source.shape}, the net"
                f" expects {targets[k].shape}; to learn this layer from scratch, give it another"
                " name in the prototxt"
            )
    return [(targets[k], source) for k, source in sorted(blobs.items())]


def same_shape(source: weights_file.BlobArray, shape: tuple[int, ...]) -> bool:
    """Caffe's rule: the shapes are equal; an old blob's four axes may begin with surplus 1s."""
    if not source.legacy:
        return source.shape == tuple(shape)
    return len(shape) <= 4 and source.shape == (1,) * (4 - len(shape)) + tuple(shape)


def _end_readers(layers: list[Layer]) -> None:
    """Tell the threads of data layers to end, without waiting: this may run in one of them."""
    for layer in layers:
        if hasattr(layer, "stopping"):
            layer.stopping.set()
