"""The least time that an iteration of a net can take on a GPU, from the shapes of its layers.

A layer needs at least its floating-point operations at the GPU's peak, and at least its bytes at
the bandwidth of the GPU's memory; the floor is the larger of the two, added up over the layers.
Counted are the operations of Convolution and InnerProduct (a multiplication and an addition are
two), and of every layer its bottoms, parameters and tops, each moved once.  Layers that work in
place (ReLU, Dropout) cost nothing: at best they are part of the layer before.  Not counted are the
reading of the data, what a layer keeps of its forward pass, and work space.

Usage:   python benchmarks/gpu_floor.py [BATCH]    prints the table for CNN/CaffeNet (default: 64)
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caffe.net import NetCore
    from caffe.node import Node

ROOT = Path(__file__).resolve().parent.parent
ITERATIONS = 160_000  # of 64 images

FLOAT = 4  # bytes of a weight, a gradient and its history, in every precision
UPDATE = 5 * FLOAT  # bytes per weight: read weight, gradient and history, write weight and history
ACTIVATION = {"fp32": 4, "tf32": 4, "bf16": 2}  # bytes per number


@dataclass(frozen=True)
class Peak:
    """What the data sheet of a GPU promises.

    Attributes
    ----------
    flops : dict
        {precision: floating-point operations per second}, of dense matrices.
    bandwidth : float
        Bytes per second of its memory.
    source : str
    """

    flops: dict[str, float]
    bandwidth: float
    source: str


# "H100 80GB HBM3" and "H200" are what PyTorch calls the SXM modules
HOPPER = {"fp32": 67e12, "tf32": 494.7e12, "bf16": 989.4e12}
PEAKS = {
    "H100 80GB HBM3": Peak(HOPPER, 3.35e12, "NVIDIA H100 Tensor Core GPU data sheet, H100 SXM"),
    "H200": Peak(HOPPER, 4.8e12, "NVIDIA H200 Tensor Core GPU data sheet, H200 SXM"),
}
REFERENCE = "H100 80GB HBM3"


def peak_of(name: str) -> Peak | None:
    """The peak of a GPU by the name that PyTorch gives it; None if it is not known here."""
    return next((peak for key, peak in PEAKS.items() if key in name), None)


@dataclass(frozen=True)
class Work:
    """What a layer, or the update, moves and computes.

    Attributes
    ----------
    name : str
    flop : float
        Floating-point operations.
    bytes : float
    """

    name: str
    flop: float
    bytes: float

    def seconds(self, peak: Peak, precision: str) -> float:
        """The least time that it takes."""
        return max(self.flop / peak.flops[precision], self.bytes / peak.bandwidth)


def phases(net: NetCore, precision: str) -> dict[str, list[Work]]:
    """The work of one iteration of a net with its batch.

    Parameters
    ----------
    net : NetCore
        In phase TRAIN.
    precision : {'fp32', 'tf32', 'bf16'}

    Returns
    -------
    dict
        {'forward', 'backward', 'update': list of Work}, a Work per layer that is counted.
    """
    size = ACTIVATION[precision]
    counted = [
        node
        for node in net.nodes
        if node.bottoms and not node.layer.shares_data and node.bottoms[0] is not node.tops[0]
    ]
    weights = sum(parameter.blob.count for parameter in net.learnable)
    return {
        "forward": [_forward(node, size) for node in counted],
        "backward": [_backward(node, size) for node in counted if node.needs_backward],
        "update": [Work("update", 0, UPDATE * weights)],
    }


def _products(node: Node) -> float:
    """The operations of a forward pass: per number of the top, a product with a row of weights."""
    if node.layer.type not in ("Convolution", "InnerProduct"):
        return 0
    weight = node.layer.blobs[0].shape
    return 2.0 * sum(top.count for top in node.tops) * math.prod(weight[1:])


def _numbers(node: Node) -> tuple[int, int, int]:
    """How many numbers its bottoms, its tops and its parameters hold."""
    blobs = (node.bottoms, node.tops, node.layer.blobs)
    return tuple(sum(blob.count for blob in each) for each in blobs)


def _forward(node: Node, size: int) -> Work:
    bottoms, tops, weights = _numbers(node)
    return Work(node.name, _products(node), size * (bottoms + tops) + FLOAT * weights)


def _backward(node: Node, size: int) -> Work:
    """Read the tops' gradients, bottoms and weights; write the gradients that are needed."""
    bottoms, tops, weights = _numbers(node)
    wanted = sum(b.count for b, need in zip(node.bottoms, node.bottom_needs, strict=True) if need)
    gradients = sum(
        blob.count for blob, need in zip(node.layer.blobs, node.param_needs, strict=True) if need
    )
    flop = _products(node) * (bool(wanted) + bool(gradients))
    read = FLOAT * (weights if wanted else 0)  # only the bottoms' gradients need the weights
    return Work(node.name, flop, size * (tops + bottoms + wanted) + FLOAT * gradients + read)


def seconds(work: dict[str, list[Work]], peak: Peak, precision: str) -> dict[str, float]:
    """{phase: the least seconds that it takes}."""
    return {
        phase: sum(each.seconds(peak, precision) for each in layers)
        for phase, layers in work.items()
    }


def total(layers: list[Work]) -> tuple[float, float]:
    """Operations and bytes of several layers together."""
    return sum(each.flop for each in layers), sum(each.bytes for each in layers)


def caffenet(batch: int) -> NetCore:
    """CNN/CaffeNet in phase TRAIN, with Input layers in the place of its LMDBs."""
    import caffe
    from caffe import prototxt
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter()
    for name, shape in (("data", (batch, 3, 227, 227)), ("label", (batch, 40))):
        layer = net.layer.add(name=name, type="Input", top=[name])
        layer.input_param.shape.add(dim=shape)
    for layer in prototxt.read_net(ROOT / "CNN" / "CaffeNet" / "train_val.prototxt").layer:
        if layer.bottom:
            for settings in (layer.convolution_param, layer.inner_product_param):
                settings.ClearField("weight_filler")  # only the shapes matter
            net.layer.add().CopyFrom(layer)
    net.state.phase = caffe.TRAIN
    return caffe.Net.from_param(net, "CaffeNet")


def table(net: NetCore, peak: Peak) -> str:
    """The floor of one iteration as Markdown, a row per precision and phase.

    Its last column is what the paper's schedule would take with this batch.
    """
    lines = [
        "| precision | phase | GFLOP | GB | of it arithmetic, ms | of it memory, ms | floor, ms |"
        f" {ITERATIONS:,} iterations |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for precision in ACTIVATION:
        work = phases(net, precision)
        rows = {**work, "iteration": [each for layers in work.values() for each in layers]}
        for phase, layers in rows.items():
            flop, moved = total(layers)
            least = sum(each.seconds(peak, precision) for each in layers)
            minutes = f"{least * ITERATIONS / 60:.1f} min" if phase == "iteration" else ""
            lines.append(
                f"| {precision} | {phase} | {flop / 1e9:.1f} | {moved / 1e9:.2f} |"
                f" {1000 * flop / peak.flops[precision]:.2f} |"
                f" {1000 * moved / peak.bandwidth:.2f} | {1000 * least:.2f} | {minutes} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    os.environ.setdefault("GLOG_minloglevel", "2")
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("batch", nargs="?", type=int, default=64, help="images (default: 64)")
    batch = parser.parse_args().batch
    if batch < 1:
        parser.error(f"a batch has at least 1 image, not {batch}")
    print(f"CaffeNet, batch {batch}, {PEAKS[REFERENCE].source}\n")
    print(table(caffenet(batch), PEAKS[REFERENCE]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
