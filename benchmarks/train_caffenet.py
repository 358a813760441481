"""Time a training iteration of the full CaffeNet by `caffe train` and by a plain PyTorch loop.

Reads:   CNN/CaffeNet/train_val.prototxt; images are drawn and packed into temporary LMDBs
Writes:  nothing; prints seconds per iteration of both, their ratio, and the runtime's peak memory
Paper:   section 4 (CaffeNet, batch 64, SGD with momentum 0.9 and weight decay 0.0005)
Usage:   python benchmarks/train_caffenet.py [--iterations 10] [--rounds 3] [--batch 64]

Both run in turn within one process, round by round, so that other work on the machine slows both.
The plain loop has its batch in memory already; the runtime decodes JPEGs from its LMDB in the
background.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F
from drawn_images import TOPICS, make_lmdbs, solver_of


class PlainCaffeNet(nn.Module):
    """CaffeNet as one would write it in PyTorch: pooling before LRN, groups of 2, fc8 with 40
    outputs.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        )
        self.classifier = nn.Sequential(
            nn.Linear(9216, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, TOPICS),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x).flatten(1))


class PlainLoop:
    """The training loop: channels_last, torch.optim.SGD, one fixed batch in memory."""

    def __init__(self, batch: int):
        torch.manual_seed(0)
        self.net = PlainCaffeNet().to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=0.001, momentum=0.9, weight_decay=0.0005
        )
        self.images = (
            torch.randn(batch, 3, 227, 227).mul_(60).contiguous(memory_format=torch.channels_last)
        )
        self.labels = torch.rand(batch, TOPICS) / TOPICS

    def step(self) -> float:
        """Train one iteration; returns its loss."""
        self.optimizer.zero_grad()
        scores = self.net(self.images)
        loss = F.binary_cross_entropy_with_logits(scores, self.labels, reduction="sum") / len(
            scores
        )
        loss.backward()
        self.optimizer.step()
        return loss.item()


def seconds(step: Callable[[], object], iterations: int) -> float:
    """Seconds per iteration."""
    start = time.perf_counter()
    for _ in range(iterations):
        step()
    return (time.perf_counter() - start) / iterations


def high_water_mark() -> float:
    """Peak resident memory of this process in GB (10^9 bytes).

    getrusage's value is inherited from the parent process.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def peak_memory(batch: int, iterations: int = 5) -> float:
    """Peak resident memory in GB of another process that trains for a few iterations."""
    options = ["--memory", "--batch", str(batch), "--iterations", str(iterations)]
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=10, help="per round, of each of the two")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--memory", action="store_true", help="only measure this process's peak memory"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_lmdbs(folder, 4 * args.batch)
        solver = solver_of("CaffeNet", folder, args.batch)
        if args.memory:
            solver.step(args.iterations)
            solver.close()
            print(high_water_mark())
            return 0
        print(
            f"CaffeNet, batch {args.batch}, {torch.get_num_threads()} threads,"
            f" {args.rounds} x {args.iterations} iterations"
        )
        plain = PlainLoop(args.batch)
        solver.step(2)
        seconds(plain.step, 2)
        pairs = []
        for i in range(args.rounds):
            ours = seconds(lambda: solver.step(1), args.iterations)
            theirs = seconds(plain.step, args.iterations)
            pairs.append((ours, theirs))
            print(
                f"round {i}: caffe from LMDB {ours:.3f} s, plain loop {theirs:.3f} s,"
                f" ratio {ours / theirs:.3f}"
            )
        solver.close()
        ours, theirs = (sorted(side)[len(side) // 2] for side in zip(*pairs, strict=True))
    print(f"median: caffe {ours:.3f} s, plain loop {theirs:.3f} s, ratio {ours / theirs:.3f}")
    print(f"peak memory of a training process of caffe: {peak_memory(args.batch):.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
