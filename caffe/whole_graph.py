"""Running a net as one autograd graph, the solver's way.

All layers run as one graph on tensors, without NumPy.  On the CPU, images are channels last in
memory.  The blobs receive their data when the pass is over.  The precision of the net decides in
which type each layer computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from caffe import allocation, gradient_parts, precision, trials
from caffe.blob import Blob
from caffe.layer import Layer
from caffe.node import Node, Parameter

if TYPE_CHECKING:
    from caffe.net import NetCore


def forward_backward(
    net: NetCore,
    with_backward: bool,
    gradient_ready: Callable[[Parameter, torch.Tensor], None] | None,
    given: Mapping[Layer, Sequence[torch.Tensor]] | None = None,
) -> torch.Tensor:
    """One whole pass; parameters and result as for NetCore.forward_backward.

    `given` are the tops of data layers that have been read already.
    """
    _forget(net)
    precision.apply(net.device, net.precision)
    graph = _Graph(net, with_backward, given or {})
    loss = graph.forward()
    _put(net, graph.values)
    graph.values = {}  # what nothing else holds is freed before the backward pass
    if with_backward and loss.requires_grad:
        graph.backward(loss, gradient_ready)
    return loss.detach()


class _Graph:
    """One pass through a net.

    Attributes
    ----------
    values : dict
        {Blob: torch.Tensor}, the data of every blob.
    leaves : dict
        {Parameter: torch.Tensor}, the leaves in which autograd accumulates gradients.
    diffs : dict
        {Blob: torch.Tensor}, the gradients of the blobs that may be read afterwards.
    """

    def __init__(
        self,
        net: NetCore,
        with_backward: bool,
        given: Mapping[Layer, Sequence[torch.Tensor]],
    ) -> None:
        self.net, self.with_backward, self.given = net, with_backward, given
        self._channels_last = precision.channels_last(net.device, net.precision)
        self.values: dict[Blob, torch.Tensor] = {}
        self.diffs: dict[Blob, torch.Tensor] = {}
        self._keep_diffs = with_backward and net.keep_blobs
        wanted = net.wanted_parameters() if with_backward else ()
        self.leaves = {
            parameter: parameter.blob.tensor().detach().requires_grad_(parameter in wanted)
            for parameter in net.learnable
        }

    def forward(self) -> torch.Tensor:
        """Run all layers; return the weighted loss (0-d)."""
        losses: list[torch.Tensor] = []
        looked_at = _wanted_blobs(self.net.nodes) if self._keep_diffs else set()
        with torch.set_grad_enabled(self.with_backward):
            for node in self.net.nodes:
                if not node.layer.calls_user:  # the user's code reshapes for itself, in _run
                    node.reshape()
                if node.layer.fed_by_user:
                    for top in node.tops:
                        self._enter(top, top.tensor().detach(), top in looked_at)
                else:
                    losses += self._run(node, looked_at)
            if losses:
                return torch.stack(losses).sum()
            return torch.zeros((), device=self.net.device)

    def _run(self, node: Node, looked_at: set[Blob]) -> list[torch.Tensor]:
        """Run one layer; return its terms of the loss."""
        layer, losses = node.layer, []
        inputs = [
            self.values[blob] if need and node.needs_backward else self.values[blob].detach()
            for blob, need in zip(node.bottoms, node.bottom_needs, strict=True)
        ]
        node.share_memory()
        layer.keeps = self.net.keep_blobs and node.needs_backward
        layer.use_part = gradient_parts.use_of(self.net, node) if self.with_backward else None
        layer.trials = trials.of(self.net) if self.with_backward else None
        with node.enough_memory():
            if layer in self.given:
                outputs = self.given[layer]
            else:
                inputs = precision.cast(self.net.precision, layer, inputs)
                params = precision.cast(self.net.precision, layer, self._params(node))
                outputs = node.compute(inputs, params, node.may_overwrite)
        if layer.is_loss and inputs:
            node.scores = inputs[0].detach()
        for top, output, weight in zip(node.tops, outputs, node.loss_weights, strict=True):
            if tuple(output.shape) != top.shape:
                top.reshape(*output.shape)
            if node.bottoms:
                self.values[top] = output
            else:
                self._enter(top, output, top in looked_at and not output.requires_grad)
            if weight:
                losses.append(weight * output.sum())
            if self.net.keep_blobs and output.requires_grad and top not in node.bottoms:
                output.register_hook(_keeping(self.diffs, top))
        node.note_shapes()
        return losses

    def _enter(self, blob: Blob, value: torch.Tensor, as_leaf: bool) -> None:
        """Take data from outside the net into the graph; a leaf's gradient goes to `diffs`."""
        value = self._fast_format(value)
        if as_leaf:
            value = value.detach().requires_grad_()
            value.register_hook(_keeping(self.diffs, blob))
        self.values[blob] = value

    def _fast_format(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 4 and self._channels_last and tensor.shape[1] > 1:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor.contiguous()

    def _params(self, node: Node) -> list[torch.Tensor]:
        """The parameters of a layer as leaves of the graph; frozen ones need no gradient."""
        return [  # a shared parameter may have another shape here
            (
                self.leaves[parameter]
                if need and node.needs_backward
                else self.leaves[parameter].detach()
            ).view(blob.shape)
            for parameter, need, blob in zip(
                node.params, node.param_needs, node.layer.blobs, strict=True
            )
        ]

    def backward(
        self,
        loss: torch.Tensor,
        gradient_ready: Callable[[Parameter, torch.Tensor], None] | None,
    ) -> None:
        """Add the gradients to the parameters' diffs, or hand them over, and keep the blobs'."""
        if gradient_ready is not None:
            for parameter, leaf in self.leaves.items():
                if leaf.requires_grad:
                    leaf.register_post_accumulate_grad_hook(
                        _handing_over(gradient_ready, parameter)
                    )
        with allocation.enough_for(f"{self.net.file}: the backward pass", "the batch size"):
            loss.backward()
        for parameter, leaf in self.leaves.items():
            if leaf.grad is not None:
                parameter.blob.add_diff(leaf.grad)
        for blob, diff in self.diffs.items():
            blob.put_diff(diff)


def _fed(nodes: Sequence[Node]) -> list[Blob]:
    """The blobs that the user feeds."""
    return [top for node in nodes if node.layer.fed_by_user for top in node.tops]


def _wanted_blobs(nodes: Sequence[Node]) -> set[Blob]:
    """The blobs whose gradient some layer's backward computes."""
    return {
        blob
        for node in nodes
        if node.needs_backward
        for blob, need in zip(node.bottoms, node.bottom_needs, strict=True)
        if need
    }


def _forget(net: NetCore) -> None:
    """Free the data of the last pass, so that the next one can use that memory."""
    fed = _fed(net.nodes)
    for blob in net.blob_list:
        if not blob.shares_data(fed):
            blob.forget()


def _put(net: NetCore, values: dict[Blob, torch.Tensor]) -> None:
    """Store the data of those blobs that may be read afterwards."""
    fed = set(_fed(net.nodes))
    overwritten = {top for node in net.nodes for top in node.tops if top in node.bottoms}
    if net.keep_blobs:
        wanted = set(net.blob_list)
    else:  # the user's own layers read their blobs in backward
        users = [node for node in net.nodes if node.layer.calls_user]
        wanted = {*net.output_blobs, *(b for node in users for b in (*node.bottoms, *node.tops))}
    # as in Caffe, a layer in place overwrites the user's data, and the next pass starts from that
    wanted |= fed & overwritten
    wanted -= fed - overwritten
    taken: dict[int, Blob] = {}  # by address
    for blob in net.blob_list:
        if blob in wanted and blob in values:
            value = values[blob].detach()
            other = taken.setdefault(value.data_ptr(), blob)
            blob.put(value.float() if blob.shares_data([other]) else value.float().clone())


def _keeping(diffs: dict[Blob, torch.Tensor], blob: Blob) -> Callable[[torch.Tensor | None], None]:
    def keep(grad: torch.Tensor | None) -> None:
        if grad is not None:  # None for a top of the user's layer that nothing reads
            diffs[blob] = grad.float()

    return keep


def _handing_over(
    gradient_ready: Callable[[Parameter, torch.Tensor], None], parameter: Parameter
) -> Callable[[torch.Tensor], None]:
    def hand_over(leaf: torch.Tensor) -> None:
        grad, leaf.grad = leaf.grad, None
        if grad is not None:  # else the layer has given it away in parts
            gradient_ready(parameter, grad.contiguous())

    return hand_over
