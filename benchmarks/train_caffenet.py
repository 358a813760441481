"""Time a training iteration of the full CaffeNet by `caffe train` and by a plain PyTorch loop.

Reads:   CNN/CaffeNet/train_val.prototxt; images are drawn and packed into temporary LMDBs
Writes:  a record, if --out names one; prints seconds per iteration of both, their ratio, and the
         runtime's peak memory
Paper:   section 4 (CaffeNet, batch 64, SGD with momentum 0.9 and weight decay 0.0005)
Usage:   python benchmarks/train_caffenet.py [--quick] [--sizes 16 32 64] [--rounds 3]
         [--iterations 4] [--out FILE]

The sizes are batches.  The plain loop has its batch in memory already; the runtime decodes JPEGs
from its LMDB in the background.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import drawn_images
import measuring
import torch
import torch.nn as nn
import torch.nn.functional as F

from texttopicnet import command_line

FULL = {"sizes": [16, 32, 64], "rounds": 3, "iterations": 4}
QUICK = {"sizes": [4, 8], "rounds": 2, "iterations": 2}


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
            nn.Linear(4096, drawn_images.TOPICS),
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
        self.labels = torch.rand(batch, drawn_images.TOPICS) / drawn_images.TOPICS

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
    options = ["--memory", "--sizes", str(batch), "--iterations", str(iterations)]
    command = [sys.executable, __file__, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def compare(folder: Path, batch: int, settings: dict) -> dict:
    """The row of one batch size."""
    iterations = settings["iterations"]
    solver, plain = drawn_images.solver_of("CaffeNet", folder, batch), PlainLoop(batch)
    sides = {
        "caffe from LMDB": lambda: solver.step(iterations),
        "plain loop": lambda: [plain.step() for _ in range(iterations)],
    }
    what = f"training, batch {batch}"
    try:
        seconds = measuring.in_turn(sides, settings["rounds"], warm_up=1, what=what)
    finally:
        solver.close()
    return measuring.comparison(
        what,
        seconds,
        "caffe from LMDB",
        "plain loop",
        "s per iteration",
        1 / iterations,
        size=batch,
        peak_gb=round(peak_memory(batch), 3),
    )


def measure(settings: dict) -> dict:
    """The record: a row per batch size."""
    with measuring.watched() as seen, tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        drawn_images.make_lmdbs(folder, 4 * max(settings["sizes"]))
        rows = [compare(folder, batch, settings) for batch in settings["sizes"]]
    values = {f"peak GB of a training process, batch {r['size']}": r["peak_gb"] for r in rows}
    return measuring.record(
        "training", settings | {"threads": torch.get_num_threads()}, rows, seen, values
    )


def main() -> None:
    parser = measuring.parser(__doc__, "batches")
    parser.add_argument(
        "--iterations",
        type=command_line.whole("--iterations"),
        metavar="N",
        help="iterations per round, of each side (default: 4)",
    )
    parser.add_argument(
        "--memory", action="store_true", help="only measure this process's peak memory"
    )
    args = parser.parse_args()
    settings = measuring.settings(args, FULL, QUICK)
    if args.memory:
        with tempfile.TemporaryDirectory() as folder:
            batch = settings["sizes"][0]
            drawn_images.make_lmdbs(Path(folder), 4 * batch)
            solver = drawn_images.solver_of("CaffeNet", Path(folder), batch)
            solver.step(settings["iterations"])
            solver.close()
        print(high_water_mark())
    else:
        measuring.report(measure(settings), args.out)


if __name__ == "__main__":
    command_line.run(main)
