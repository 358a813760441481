"""Time training iterations on a GPU: batches, precisions, CUDA graph or not, cached data or not.

Reads:   CNN/<net>/train_val.prototxt and solver.prototxt; images are drawn, in a temporary LMDB
Writes:  --out (benchmarks/results/gpu.json for a GPU); prints one table
Paper:   section 4 (160,000 iterations of 64 images)
Usage:   python benchmarks/gpu.py [--quick] [--batch 64,256] [--precision tf32] [--mode graph]
         [--data cached] [--seconds 3 | --iterations 50] [--plain] [--profile] [--full]
         [--out FILE]

The rows are timed for three seconds each, which should take less than five minutes.  --full also
runs the paper's whole schedule, in the last of the precisions.  --device cpu runs the same program
on the CPU, where a function that is called again takes the place of the CUDA graph: it shows that
the program works, not how fast.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import drawn_images
import gpu_floor
import torch
from gpu_training import Cell, Trainer, copy_bandwidth, full, profile

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
BATCHES, PRECISIONS = (64, 256, 1024), ("fp32", "tf32", "bf16")
MODES, DATA = ("eager", "graph"), ("lmdb", "cached")
LIBRARIES = ("numpy", "torch", "opencv-python", "lmdb", "protobuf")


HEAD = (
    "| batch | precision | mode | data | images/s | ms | share of the floor | GB | data wait |"
    " 160,000 x 64 |\n|---|---|---|---|---|---|---|---|---|---|"
)


def row(cell: Cell) -> str:
    """A cell as a row of the table."""
    memory = "" if cell.memory is None else f"{cell.memory:.2f}"
    return (
        f"| {cell.batch} | {cell.precision} | {cell.mode} | {cell.data} |"
        f" {cell.images_per_second:,.0f} | {cell.milliseconds:.2f} | {cell.floor_share:.0%} |"
        f" {memory} | {cell.data_wait:.1%} | {cell.schedule_minutes:.1f} min |"
    )


# ---------------------------------------------------------------------------------- the whole table


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all cells; {'cells', 'profile', 'full', 'floor', ...}."""
    import caffe
    from caffe import trials

    trials.enable(not args.plain)
    name = torch.cuda.get_device_name(0) if args.device == "cuda" else "none"
    peak = gpu_floor.peak_of(name)
    base = name if peak else f"{gpu_floor.REFERENCE} (another device)"
    peak = peak or gpu_floor.PEAKS[gpu_floor.REFERENCE]
    found: dict[str, Any] = {"floor of": base, "cells": [], "floor": [], "left out": [], "ways": []}
    if args.device == "cuda":
        found["copy bandwidth"] = copy_bandwidth(torch.device("cuda", 0))
        print(f"{name}: copies at {found['copy bandwidth'] / 1e12:.2f} TB/s", flush=True)
    print(HEAD, flush=True)
    for batch in args.batch:
        for precision in args.precision:
            try:
                measure(args, folder, peak, (batch, precision), found)
            except caffe.CaffeError as error:  # no such precision here, or too little memory
                found["left out"].append(f"{batch} {precision}: {error}")
    if args.full and found["cells"]:
        precision = found["cells"][-1]["precision"]
        trainer = Trainer(folder, args.net, 64, precision, args.device)
        found["full"] = {"precision": precision, "iterations": args.full}
        found["full"]["minutes"] = full(trainer, args.full)
        trainer.close()
    return found


def measure(
    args: argparse.Namespace,
    folder: Path,
    peak: gpu_floor.Peak,
    rows: tuple[int, str],
    found: dict[str, Any],
) -> None:
    """Measure the rows of one batch and precision, and add them to `found`."""
    batch, precision = rows
    trainer = Trainer(folder, args.net, batch, precision, args.device)
    try:
        work = gpu_floor.phases(trainer.solver.net, precision)
        least = gpu_floor.seconds(work, peak, precision)
        found["floor"].append({"batch": batch, "precision": precision, "seconds": least})
        for data in args.data:
            for mode in args.mode:
                options = (args.seconds, args.iterations, sum(least.values()))
                cell = trainer.measure(mode, data, *options)
                found["cells"].append(asdict(cell))
                print(row(cell), flush=True)
        found["ways"] += ways_of(trainer, batch, precision)
        if args.profile and "profile" not in found:
            found["profile"] = profile(trainer)
    finally:
        trainer.close()


def ways_of(trainer: Trainer, batch: int, precision: str) -> list[dict[str, Any]]:
    """What the net has tried (caffe/trials.py), a row per layer."""
    from caffe import trials

    tried = trials.of(trainer.solver.net)
    rows = []
    for key, seconds in tried.seconds.items() if tried is not None else ():
        milliseconds = {way: round(1000 * took, 4) for way, took in seconds.items()}
        row = {"batch": batch, "precision": precision, "layer": key[0], "taken": tried.chosen[key]}
        rows.append(row | {"milliseconds": milliseconds})
        listed = ", ".join(f"{way} {took:.3f}" for way, took in milliseconds.items())
        print(f"{key[0]}, batch {batch}, {precision}, ms: {listed}; taken: {row['taken']}")
    return rows


def record(args: argparse.Namespace, values: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The record, with the fields of benchmarks/measuring.py."""
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
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
        "commit": commit.stdout.strip() or "unknown",
        "versions": versions,
        "hardware": {"cpu": platform.processor(), "cores": os.cpu_count(), "gpu": gpu},
    }


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
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
    for text in values["left out"]:
        print(f"left out: {text}")
    for kernel in values.get("profile", []):
        line = f"{kernel['milliseconds']:8.3f} ms {kernel['share']:6.1%} {kernel['calls']:6.1f} x"
        print(f"{line} {kernel['name'][:100]}")
    out = args.out or (RESULT if args.device == "cuda" else None)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = record(args, values, time.perf_counter() - start)
        temporary = out.with_name(out.name + ".tmp")
        temporary.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        temporary.replace(out)
        print(out)
    return 0


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
    p.add_argument(
        "--plain", action="store_true", help="try no ways to compute layers, take the first ones"
    )
    p.add_argument("--quick", action="store_true", help="the first batch, one second per row")
    p.add_argument("--profile", action="store_true", help="the 15 kernels that take longest")
    p.add_argument("--full", type=int, nargs="?", const=160_000, default=0, metavar="N")
    p.add_argument("--out", type=Path, metavar="FILE", help="the record, as JSON")
    return p


if __name__ == "__main__":
    sys.exit(main())
