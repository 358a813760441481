"""debug_info: log lines with the mean absolute value of every blob.

Caffe: Net::ForwardDebugInfo, Net::BackwardDebugInfo.
"""

from collections.abc import Sequence

import torch

from caffe import log
from caffe.node import Node, Parameter


def log_forward(node: Node) -> None:
    """Log the tops and parameters of a layer that has run forward."""
    start = f"    [Forward] Layer {node.name},"
    for top in node.tops:
        log.info("net.cpp:593", f"{start} top blob {top.name} data: {_mean(top.tensor())}")
    for k, blob in enumerate(node.layer.blobs):
        log.info("net.cpp:605", f"{start} param blob {k} data: {_mean(blob.tensor())}")


def log_backward(node: Node) -> None:
    """Log the gradients that a layer's backward has computed."""
    start = f"    [Backward] Layer {node.name},"
    for blob, need in zip(node.bottoms, node.bottom_needs, strict=True):
        if need:
            mean = _mean(blob.diff_tensor())
            log.info("net.cpp:621", f"{start} bottom blob {blob.name} diff: {mean}")
    for k, (blob, need) in enumerate(zip(node.layer.blobs, node.param_needs, strict=True)):
        if need:
            mean = _mean(blob.diff_tensor())
            log.info("net.cpp:632", f"{start} param blob {k} diff: {mean}")


def log_parameters(parameters: Sequence[Parameter]) -> None:
    """Log the L1 and L2 norms of all parameters and their diffs, in one line."""
    data = [parameter.blob.tensor() for parameter in parameters]
    diff = [parameter.blob.diff_tensor() for parameter in parameters]
    l1 = [log.number(sum(float(t.abs().sum()) for t in ts)) for ts in (data, diff)]
    l2 = [log.number(sum(float(t.square().sum()) for t in ts) ** 0.5) for ts in (data, diff)]
    norms = f"L1 norm = ({l1[0]}, {l1[1]}); L2 norm = ({l2[0]}, {l2[1]})"
    log.error("net.cpp:721", f"    [Backward] All net params (data, diff): {norms}")


def _mean(tensor: torch.Tensor) -> str:
    """The mean absolute value."""
    return log.number(tensor.abs().mean() if tensor.numel() else 0.0)
