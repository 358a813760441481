"""Time LRN and ceil pooling, forward and backward, against torch's own, with CaffeNet's shapes.

Reads:   nothing; the inputs are drawn
Writes:  a record, if --out names one; prints the milliseconds of both and their ratio
Paper:   section 4 (CaffeNet: pooling 3/2 with ceil, then LRN over 5 channels)
Usage:   python benchmarks/lrn_and_pooling.py [--quick] [--sizes 64] [--rounds 9] [--out FILE]

Both run on channels_last tensors, as in training.
"""

from collections.abc import Callable

import measuring
import torch
import torch.nn.functional as F

from caffe.layer import Layer
from caffe.layer_factory import create
from caffe.proto import caffe_pb2
from texttopicnet import command_line

FULL = {"sizes": [64], "rounds": 9}
QUICK = {"sizes": [16], "rounds": 3}
SHAPES = {
    "norm1": (96, 27, 27),
    "norm2": (256, 13, 13),
    "pool1": (96, 55, 55),
    "pool2": (256, 27, 27),
    "pool5": (256, 13, 13),
}


def layer_of(name: str, shape: tuple[int, ...]) -> Layer:
    """The runtime's layer, set up for a bottom of `shape`."""
    param = caffe_pb2.LayerParameter(
        name=name, type="LRN" if name.startswith("norm") else "Pooling", bottom=["x"], top=["y"]
    )
    if name.startswith("norm"):
        param.lrn_param.local_size, param.lrn_param.alpha, param.lrn_param.beta = 5, 1e-4, 0.75
    else:
        param.pooling_param.kernel_size, param.pooling_param.stride = 3, 2
    layer = create(param, "benchmark", torch.device("cpu"))
    layer.setup([shape])
    layer.reshape([shape])
    return layer


def plain(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same computation as one would write it in PyTorch by hand."""
    if name.startswith("norm"):
        return lambda x: F.local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)
    return lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)


def both_ways(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> None:
    """One forward and one backward pass."""
    x = x.detach().requires_grad_()
    y = forward(x)
    y = y if isinstance(y, torch.Tensor) else y[0]
    y.backward(torch.ones_like(y))


def compare(name: str, batch: int, rounds: int) -> dict:
    """The row of one layer at one batch size."""
    shape = (batch, *SHAPES[name])
    x = torch.rand(shape).contiguous(memory_format=torch.channels_last)
    layer, torchs = layer_of(name, shape).forward, plain(name)
    sides = {"caffe": lambda: both_ways(layer, x), "torch": lambda: both_ways(torchs, x)}
    what = f"{name}, batch {batch}"
    seconds = measuring.in_turn(sides, rounds, warm_up=1, what=what)
    return measuring.comparison(what, seconds, "caffe", "torch", "ms", 1000, size=batch)


def measure(settings: dict) -> dict:
    """The record: a row per layer and batch size."""
    torch.manual_seed(0)
    with measuring.watched() as seen:
        rows = [
            compare(name, batch, settings["rounds"])
            for batch in settings["sizes"]
            for name in SHAPES
        ]
    return measuring.record("layers", settings | {"threads": torch.get_num_threads()}, rows, seen)


def main() -> None:
    args = measuring.parser(__doc__, "batches").parse_args()
    measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
