"""Time an iteration of two processes that train one CaffeNet together, against one process.

Reads:   CNN/CaffeNet/train_val.prototxt; images are drawn and packed into temporary LMDBs
Writes:  a record, if --out names one; prints seconds per iteration and the ratio
Paper:   section 4 (CaffeNet, batch 64)
Usage:   python benchmarks/two_processes.py [--quick] [--sizes 64] [--rounds 3] [--iterations 3]
         [--out FILE]

The sizes are images per update.  Two processes with half of them each exchange their gradients by
Gloo; one process with all of them exchanges nothing, so a ratio below 1 is what the exchange costs.
The seconds are those between the displays of the log; the first iteration does not count.
"""

import datetime
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import drawn_images
import measuring

from texttopicnet import command_line
from texttopicnet.errors import UserError

FULL = {"sizes": [64], "rounds": 3, "iterations": 3, "net": "CaffeNet", "side": 256}
QUICK = FULL | {"sizes": [8], "rounds": 2, "iterations": 2}
SOLVER = """
net: "train_val.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
max_iter: {last} display: 1 snapshot_after_train: false random_seed: 0 solver_mode: CPU
"""
ALONE = (sys.executable,)
TOGETHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
DISPLAY = re.compile(r"^I\d{4} (\d\d:\d\d:\d\d\.\d+) .*\] Iteration (\d+).*, loss", re.MULTILINE)


def seconds_per_iteration(log: str) -> float:
    """Median seconds between the displays of a log, without the first, which begins the reading.

    Raises
    ------
    UserError
        The log has fewer than three displays.
    """
    times = [datetime.datetime.strptime(time, "%H:%M:%S.%f") for time, _ in DISPLAY.findall(log)]
    steps = [b - a for a, b in itertools.pairwise(times[1:])]
    if not steps:
        raise UserError(f"the training's log has no displays: {log[-500:]}")
    day = datetime.timedelta(days=1)  # the log has no date, and midnight may pass
    return statistics.median((step % day).total_seconds() for step in steps)


def train(launcher: tuple[str, ...], folder: Path, batch: int, settings: dict) -> float:
    """Seconds per iteration of a training in the folder."""
    from caffe import prototxt

    net = prototxt.read_net(drawn_images.ROOT / "CNN" / settings["net"] / "train_val.prototxt")
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.batch_size = batch
    (folder / "train_val.prototxt").write_text(prototxt.to_text(net))
    (folder / "solver.prototxt").write_text(SOLVER.format(last=settings["iterations"] + 2))
    command = [*launcher, "-m", "caffe.cli", "train", "-solver", "solver.prototxt"]
    environment = os.environ | {"GLOG_minloglevel": "0"}
    environment["PYTHONPATH"] = str(drawn_images.ROOT)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the training failed: {done.stderr.strip()[-500:]}")
    return seconds_per_iteration(done.stderr)


def compare(folder: Path, size: int, settings: dict) -> dict:
    """The row of one number of images per update."""
    sides = {
        "two processes": lambda: train(TOGETHER, folder, size // 2, settings),
        "one process": lambda: train(ALONE, folder, size, settings),
    }
    what = f"training, {size} images per update"
    seconds = measuring.in_turn(sides, settings["rounds"], clock=lambda side: side(), what=what)
    unit = "s per iteration"
    return measuring.comparison(what, seconds, "two processes", "one process", unit, size=size)


def measure(settings: dict) -> dict:
    """The record: a row per number of images per update."""
    with measuring.watched() as seen, tempfile.TemporaryDirectory() as folder:
        drawn_images.make_lmdbs(Path(folder), 4 * max(settings["sizes"]), settings["side"])
        rows = [compare(Path(folder), size, settings) for size in settings["sizes"]]
    return measuring.record("processes", settings, rows, seen)


def main() -> None:
    parser = measuring.parser(__doc__, "images per update")
    parser.add_argument(
        "--iterations",
        type=command_line.whole("--iterations"),
        metavar="N",
        help="iterations that count, per round and side (default: 3)",
    )
    args = parser.parse_args()
    measuring.report(measure(measuring.settings(args, FULL, QUICK)), args.out)


if __name__ == "__main__":
    command_line.run(main)
