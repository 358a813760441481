"""Time training iterations on a GPU: batches, precisions, CUDA graph or not, cached data or not.

Reads:   CNN/<net>/train_val.prototxt and solver.prototxt; images are drawn, in a temporary LMDB
Writes:  --out (benchmarks/results/gpu.json for a GPU); prints one table
Paper:   section 4 (160,000 iterations of 64 images)
Usage:   python benchmarks/gpu.py [--quick] [--batch 64,256] [--precision tf32] [--mode graph]
         [--data cached] [--seconds 3 | --iterations 50] [--without ways,overlap]
         [--profile] [--full] [--out FILE]

The rows are timed for three seconds each, which should take less than five minutes.  A row that
fails is left out, with its error, and the others go on.  --without measures all rows once per word,
each time without what the word says, to compare with the rows that have everything; cuDNN keeps
its algorithms until the program ends, so --without algorithms needs a run of its own.  --full also
runs the paper's whole schedule, in the last of the precisions.  --device cpu runs the same program
on the CPU, where a function that is called again takes the place of the CUDA graph: it shows that
the program works, not how fast.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import drawn_images
import gpu_floor
import torch
from gpu_training import SWITCHES, Cell, Trainer, copy_bandwidth, full, profile

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
BATCHES, PRECISIONS = (64, 256, 1024), ("fp32", "tf32", "bf16")
# Until a process ends, cuDNN keeps the algorithm of a shape, tried or not, and only the iterations
# before a graph try any: the rows with a graph come first.
MODES, DATA = ("graph", "eager"), ("lmdb", "cached")
LIBRARIES = ("numpy", "torch", "opencv-python", "lmdb", "protobuf")


HEAD = (
    "| batch | precision | mode | data | without | images/s | ms | share of the floor | GB |"
    " data wait | 160,000 x 64 |\n" + "|---" * 11 + "|"
)


def row(cell: Cell) -> str:
    """A cell as a row of the table."""
    memory = "" if cell.memory is None else f"{cell.memory:.2f}"
    return (
        f"| {cell.batch} | {cell.precision} | {cell.mode} | {cell.data} | {cell.without} |"
        f" {cell.images_per_second:,.0f} | {cell.milliseconds:.2f} | {cell.floor_share:.0%} |"
        f" {memory} | {cell.data_wait:.1%} | {cell.schedule_minutes:.1f} min |"
    )


# ---------------------------------------------------------------------------------- the whole table


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all cells; {'cells', 'profile', 'full', 'floor', ...}."""
    name = torch.cuda.get_device_name(0) if args.device == "cuda" else "none"
    peak = gpu_floor.peak_of(name)
    base = name if peak else f"{gpu_floor.REFERENCE} (another device)"
    peak = peak or gpu_floor.PEAKS[gpu_floor.REFERENCE]
    found: dict[str, Any] = {"floor of": base, "cells": [], "floor": [], "left out": [], "ways": []}
    if args.device == "cuda":
        found["copy bandwidth"] = copy_bandwidth(torch.device("cuda", 0))
        print(f"{name}: copies at {found['copy bandwidth'] / 1e12:.2f} TB/s", flush=True)
    print(HEAD, flush=True)
    for batch, precision, without in itertools.product(args.batch, args.precision, args.without):
        try:
            measure(args, folder, peak, (batch, precision, without), found)
        except Exception as error:  # whatever it is, the other rows are measured
            leave_out(found, f"{batch} {precision} {without}".rstrip(), error)
    if args.full and found["cells"]:
        try:
            found["full"] = whole_schedule(args, folder, found["cells"][-1]["precision"])
        except Exception as error:
            leave_out(found, "the whole schedule", error)
    return found


def whole_schedule(args: argparse.Namespace, folder: Path, precision: str) -> dict[str, Any]:
    """Run --full iterations of 64 images; {'precision', 'iterations', 'minutes'}."""
    trainer = Trainer(folder, args.net, 64, precision, args.device)
    try:
        minutes = full(trainer, args.full)
    finally:
        trainer.close()
    return {"precision": precision, "iterations": args.full, "minutes": minutes}


def leave_out(found: dict[str, Any], rows: str, error: Exception) -> None:
    """Note what could not be measured; unexpected errors with their traceback."""
    if not isinstance(error, RuntimeError) or type(error).__name__ != "CaffeError":
        traceback.print_exception(error, file=sys.stdout)
    found["left out"].append(f"{rows}: {error}")
    print(f"left out: {found['left out'][-1]}", flush=True)


def measure(
    args: argparse.Namespace,
    folder: Path,
    peak: gpu_floor.Peak,
    rows: tuple[int, str, str],
    found: dict[str, Any],
) -> None:
    """Measure the rows of one batch, precision and --without, and add them to `found`."""
    batch, precision, without = rows
    trainer = Trainer(folder, args.net, batch, precision, args.device, without=without)
    try:
        work = gpu_floor.phases(trainer.solver.net, precision)
        least, updates = gpu_floor.seconds(work, peak, precision), ({}, None)
        found["floor"].append({"batch": batch, "precision": precision, "seconds": least})
        for data in args.data:
            for mode in sorted(args.mode, key=MODES.index):
                options = (args.seconds, args.iterations, sum(least.values()))
                try:
                    cell = trainer.measure(mode, data, *options)
                except Exception as error:
                    leave_out(found, f"{batch} {precision} {mode} {data}", error)
                    continue
                found["cells"].append(asdict(cell))
                print(row(cell), flush=True)
                updates = trainer.update_times() if mode == "graph" else updates
        found["ways"] += ways_of(trainer, batch, precision, updates)
        if args.profile and "profile" not in found:
            found["profile"] = profile(trainer)
            for kernel in found["profile"]:
                took = f"{kernel['milliseconds']:8.3f} ms {kernel['share']:6.1%}"
                print(f"{took} {kernel['calls']:6.1f} x {kernel['name'][:100]}", flush=True)
    finally:
        trainer.close()


def ways_of(
    trainer: Trainer, batch: int, precision: str, updates: tuple[dict[str, float], str | None]
) -> list[dict[str, Any]]:
    """What the net has tried (caffe/trials.py, caffe/overlapped_update.py), a row per choice.

    `updates` are the times of its updates, as from `Trainer.update_times`.
    """
    from caffe import trials

    tried = trials.of(trainer.solver.net)
    rows = []

    def add(layer: str, seconds: dict[str, float], taken: str | None) -> None:
        milliseconds = {way: round(1000 * took, 4) for way, took in seconds.items()}
        row = {"batch": batch, "precision": precision, "layer": layer, "taken": taken}
        rows.append(row | {"milliseconds": milliseconds})
        listed = ", ".join(f"{way} {took:.3f}" for way, took in milliseconds.items())
        print(f"{layer}, batch {batch}, {precision}, ms: {listed}; taken: {taken}")

    for key, seconds in tried.seconds.items() if tried is not None else ():
        add(key[0], seconds, tried.chosen[key])
    seconds, taken = updates
    if seconds:
        add("an iteration, with its update", seconds, taken)
    return rows


def record(args: argparse.Namespace, values: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The record, with the fields of benchmarks/measuring.py."""
    commit = ""
    with contextlib.suppress(OSError):  # there may be no git
        commit = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
    versions = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    for library in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[library] = importlib.metadata.version(library)
    gpu = torch.cuda.get_device_name(0) if args.device == "cuda" else "none"
    settings = {"net": args.net, "images": args.images, "seconds": args.seconds}
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "benchmark": "gpu",
        "settings": settings | {"iterations": args.iterations},
        "comparisons": [],
        "values": values,
        "note": "images are drawn, and are read from memory: the LMDB was just written",
        "started": (now - datetime.timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "load": [round(os.getloadavg()[0], 2)],
        "other_work": None,
        "commit": commit or "unknown",
        "versions": versions,
        "hardware": {"cpu": platform.processor(), "cores": os.cpu_count(), "gpu": gpu},
    }


def main(arguments: list[str] | None = None) -> int:
    p = parser()
    args = p.parse_args(arguments)
    if "algorithms" in args.without and (len(args.without) > 1 or args.full):
        p.error("--without algorithms needs a run of its own: cuDNN keeps what it has tried")
    if args.quick:
        args.batch, args.seconds = args.batch[:1], min(args.seconds, 1.0)
    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: PyTorch finds no CUDA device here; --device cpu tries the program out")
        return 1
    os.environ.setdefault("GLOG_minloglevel", "2")
    sys.path.insert(0, str(ROOT))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        drawn_images.make_lmdbs(Path(folder), args.images)
        values = run(args, Path(folder))
    out = args.out or (RESULT if args.device == "cuda" else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = record(args, values, time.perf_counter() - start)
        temporary = out.with_name(out.name + ".tmp")
        temporary.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        temporary.replace(out)
        print(out)
    return int(not values["cells"])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])

    def listed(name: str, allowed: tuple[Any, ...], help_text: str) -> None:
        kind = type(allowed[0])

        def read(text: str) -> list[Any]:
            found = [kind(word) for word in text.split(",")]
            if kind is str and not set(found) <= set(allowed):
                raise argparse.ArgumentTypeError(f"expected some of {', '.join(allowed)}")
            return found

        p.add_argument(name, type=read, default=list(allowed), metavar="A,B", help=help_text)

    listed("--batch", BATCHES, "images per iteration (default: 64,256,1024)")
    listed("--precision", PRECISIONS, "fp32, tf32, bf16 (default: all)")
    listed("--mode", MODES, "eager, graph (default: both)")
    listed("--data", DATA, "lmdb, cached (default: both)")
    p.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    p.add_argument("--net", default="CaffeNet", help="folder of CNN/ (default: CaffeNet)")
    p.add_argument("--images", type=int, default=2048, help="in the LMDB (default: 2048)")
    p.add_argument("--seconds", type=float, default=3.0, help="per row (default: 3)")
    p.add_argument("--iterations", type=int, default=0, help="per row, instead of --seconds")
    listed("--without", SWITCHES, "all rows once per word, without what it says (default: none)")
    p.set_defaults(without=[""])
    p.add_argument("--quick", action="store_true", help="the first batch, one second per row")
    p.add_argument("--profile", action="store_true", help="the 15 kernels that take longest")
    p.add_argument("--full", type=int, nargs="?", const=160_000, default=0, metavar="N")
    p.add_argument("--out", type=Path, metavar="FILE", help="the record, as JSON")
    return p


if __name__ == "__main__":
    sys.exit(main())
