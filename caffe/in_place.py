"""In-place layers: which may destroy their bottom, and which destroy what a gradient still reads.

A layer whose top is its bottom's blob overwrites that blob.  In a whole-graph pass it may destroy
the old values only where no gradient needs them; elsewhere it writes a new tensor.  Caffe always
overwrites, and its gradients then read the new values.  Nets where that makes a difference must run
blob by blob.
"""

from collections.abc import Sequence

from caffe.blob import Blob
from caffe.layer import NOTHING, SIGNS, VALUES, Layer
from caffe.node import Node

# types whose gradient does not need their own output, so that an in-place ReLU may destroy it
OUTPUT_NOT_NEEDED = {"Convolution", "Deconvolution", "InnerProduct", "Scale", "Bias", "Eltwise"}


# types whose gradient of the bottom is a new tensor, which they do not keep
NEW_DIFF = {"Convolution", "InnerProduct", "LRN", "Pooling"}


def mark_overwriting(nodes: Sequence[Node]) -> None:
    """Find what the nodes may destroy in a whole graph: their bottom (`may_overwrite`) and, for a
    ReLU, the top's gradient (`overwrites_diff`).
    """
    writers: dict[Blob, Layer] = {}  # the layer that last wrote each blob
    for node in nodes:
        if node.layer.can_overwrite and node.bottoms == node.tops:
            writer = writers.get(node.bottoms[0])
            node.may_overwrite = writer is not None and writer.type in OUTPUT_NOT_NEEDED
        writers.update(dict.fromkeys(node.tops, node.layer))
    for i, node in enumerate(nodes):
        if node.may_overwrite:
            node.layer.overwrites_diff = _only_one_reads(node, nodes[i + 1 :])


def _only_one_reads(node: Node, later: Sequence[Node]) -> bool:
    """Whether all of the top's gradient is one new tensor, from one layer."""
    (top,) = node.tops
    readers: list[Node] = []
    for other in later:
        readers += [other] * other.bottoms.count(top)
        if top in other.tops:  # other values from here on
            break
    one = len(readers) == 1 and not any(node.loss_weights)
    return one and readers[0].layer.type in NEW_DIFF


def overwrites_needed(nodes: Sequence[Node]) -> bool:
    """Whether a layer overwrites in place what a gradient, its own or another layer's, reads."""
    chains: dict[Blob, list[tuple[Layer, str, str]]] = {}  # per memory, who writes it, in order
    memory: dict[Blob, Blob] = {}  # the first blob of the memory that a blob uses
    for node in nodes:
        layer = node.layer
        passes_on = layer.shares_data and bool(node.bottoms)
        for top in node.tops:
            in_place = top in node.bottoms
            if passes_on:
                memory[top] = memory[node.bottoms[0]]
                continue
            if not in_place:
                memory[top] = top
            reads = any(node.bottom_needs)
            top_read = layer.reads_top if reads else NOTHING
            bottom_read = layer.reads_own_bottom if reads and in_place else NOTHING
            chains.setdefault(memory[top], []).append((layer, top_read, bottom_read))
    return any(
        _reads_overwritten(top_read, bottom_read, [layer for layer, *_ in chain[position + 1 :]])
        for chain in chains.values()
        for position, (_, top_read, bottom_read) in enumerate(chain)
    )


def _reads_overwritten(top_read: str, bottom_read: str, later: Sequence[Layer]) -> bool:
    """Whether a layer's gradient reads what it, or a layer that writes `later`, has overwritten."""
    if bottom_read == VALUES or (top_read == VALUES and later):
        return True
    return SIGNS in (top_read, bottom_read) and not all(layer.keeps_signs for layer in later)
