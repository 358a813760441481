"""Time LRN and ceil pooling, forward and backward, against torch's own, with CaffeNet's shapes.

Reads:   nothing; the inputs are drawn
Writes:  nothing; prints the milliseconds of both and their ratio, medians over the rounds
Paper:   section 4 (CaffeNet: pooling 3/2 with ceil, then LRN over 5 channels)
Usage:   python benchmarks/lrn_and_pooling.py [--rounds 9] [--batch 64]

Both run in turn within one process, on channels_last tensors, as in training.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

import caffe.layers  # noqa: F401  registers the layer types
from caffe.layer import Layer, create
from caffe.proto import caffe_pb2

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


def seconds(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> float:
    """The seconds of one forward and one backward pass."""
    x = x.detach().requires_grad_()
    start = time.perf_counter()
    y = forward(x)
    y = y if isinstance(y, torch.Tensor) else y[0]
    y.backward(torch.ones_like(y))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()

    torch.manual_seed(0)
    print(f"batch {args.batch}, {torch.get_num_threads()} threads, median of {args.rounds} rounds")
    for name, (channels, height, width) in SHAPES.items():
        shape = (args.batch, channels, height, width)
        x = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        sides = {"caffe": layer_of(name, shape).forward, "torch": plain(name)}
        times = {side: [] for side in sides}
        for i in range(args.rounds + 1):
            for side, forward in sides.items():
                took = seconds(forward, x)
                if i:  # the first round warms up
                    times[side].append(took)
        mine, theirs = (statistics.median(times[side]) for side in ("caffe", "torch"))
        print(
            f"{name}: caffe {1000 * mine:.1f} ms, torch {1000 * theirs:.1f} ms,"
            f" ratio {mine / theirs:.2f}"
        )


if __name__ == "__main__":
    main()
