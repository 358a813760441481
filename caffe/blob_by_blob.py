"""Running a net blob by blob, pycaffe's way (Caffe: Net::ForwardFromTo, BackwardFromTo).

Every layer reads its bottoms' blobs and writes its tops', so that these can be read and changed in
between.  Nothing but the blobs, and what a layer has kept of its last forward, carries over from
forward to backward.  Backward may therefore run at any time: it uses the blobs' current values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from caffe import debug_info, precision
from caffe.node import Node, Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from caffe.net import NetCore


def forward(net: NetCore, start: int, end: int) -> float:
    """Run layers `start` to `end` (both included); return their weighted loss."""
    precision.apply(net.device, net.precision)
    loss = 0.0
    for i in range(start, end + 1):
        node = net.nodes[i]
        for run in net.callbacks["before_forward"]:
            run(i)
        with node.enough_memory():
            _forward_node(node)
        for top, weight in zip(node.tops, node.loss_weights, strict=True):
            if weight:  # as in Caffe, the diff of a loss holds its weight
                loss += float((top.tensor() * top.diff_tensor()).sum())
        if net.debug_info:
            debug_info.log_forward(node)
        for run in net.callbacks["after_forward"]:
            run(i)
    net.check_indices(start, end + 1)
    return loss


@torch.no_grad()
def _forward_node(node: Node) -> None:
    layer = node.layer
    node.reshape(always=layer.calls_user)
    layer.keeps = node.needs_backward
    if layer.shares_data:
        node.share_memory()
    elif layer.calls_user:
        layer.compute()
    elif not layer.fed_by_user:
        bottoms = [blob.tensor() for blob in node.bottoms]
        params = [blob.tensor() for blob in layer.blobs]
        taken = {bottom.data_ptr() for bottom in bottoms}
        for top, output in zip(node.tops, node.compute(bottoms, params, False), strict=True):
            # two blobs do not share memory unless the layer says so
            shared = output.data_ptr() in taken and top not in node.bottoms
            top.put(output.clone() if shared else output)
        if layer.is_loss:
            node.scores = bottoms[0]
    node.note_shapes()


def backward(net: NetCore, start: int, end: int) -> None:
    """Run layers `start` down to `end` (both included) backward from their tops' diffs.

    Parameter diffs add up.  The blobs' data do not change.
    """
    precision.apply(net.device, net.precision)
    for node in net.nodes[: start + 1]:  # a blob may have been reshaped by hand
        node.reshape()
    for i in range(start, end - 1, -1):
        node = net.nodes[i]
        for run in net.callbacks["before_backward"]:
            run(i)
        if node.needs_backward:
            with node.enough_memory():
                backward_node(node)
            if net.debug_info:
                debug_info.log_backward(node)
        for run in net.callbacks["after_backward"]:
            run(i)
    net.check_indices(end, start + 1)


@torch.no_grad()
def backward_node(node: Node) -> None:
    """Compute the diffs of a layer's bottoms and parameters, even if the net's loss needs none."""
    layer = node.layer
    needs = [*node.bottom_needs, *node.param_needs]
    if layer.always_propagates:
        needs[0] = True
    if layer.shares_diff:
        node.share_memory()
    elif layer.calls_user:
        layer.compute_backward(list(node.bottom_needs))
    elif any(needs):
        layer.params = [blob.tensor() for blob in layer.blobs]
        diffs = [blob.diff_tensor() for blob in node.tops]
        bottoms = [blob.tensor() for blob in node.bottoms]
        layer.spare = _spare_memory(node, diffs)
        grads = layer.backward(bottoms, [blob.tensor() for blob in node.tops], diffs, needs)
        layer.spare = ()
        taken = {diff.data_ptr() for diff in diffs}
        blobs = [*node.bottoms, *layer.blobs]
        for k, (blob, need, grad) in enumerate(zip(blobs, needs, grads, strict=True)):
            if not need or grad is None:
                continue
            if grad.data_ptr() in taken:
                grad = grad.clone()
            taken.add(grad.data_ptr())
            if k < len(bottoms):
                blob.put_diff(grad)
            else:
                blob.add_diff(grad)


def _spare_memory(node: Node, diffs: list[torch.Tensor]) -> list[torch.Tensor | None]:
    """The diffs that bottoms and parameters have now, where a layer may write into them."""
    taken = {diff.data_ptr() for diff in diffs}
    found: list[torch.Tensor | None] = []
    for blob in (*node.bottoms, *node.layer.blobs):
        spare = blob.spare_diff()
        is_free = spare is not None and spare.data_ptr() not in taken
        found.append(spare if is_free else None)
        if is_free:
            taken.add(spare.data_ptr())
    return found


def forward_backward(
    net: NetCore,
    with_backward: bool,
    gradient_ready: Callable[[Parameter, torch.Tensor], None] | None,
) -> torch.Tensor:
    """One whole pass; parameters and result as for NetCore.forward_backward."""
    last = len(net.nodes) - 1
    loss = torch.tensor(forward(net, 0, last), device=net.device)
    if with_backward:
        backward(net, last, 0)
        if gradient_ready is not None:
            wanted = net.wanted_parameters()
            for parameter in net.learnable:
                if parameter in wanted:
                    gradient_ready(parameter, parameter.blob.diff_tensor())
                    parameter.blob.clear_diff()
    return loss
