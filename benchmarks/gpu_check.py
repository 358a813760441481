"""Test and measure everything on a GPU, in one call of at most eight minutes.

Reads:   the project
Writes:  OUT/<step>.log, OUT/tests.xml, OUT/parity.xml, OUT/*.json; prints a short table last
Paper:   none of its tables
Usage:   python benchmarks/gpu_check.py OUT [--device cuda|emulated|cpu] [--seconds 470]

It needs PyTorch with CUDA, OpenCV, protobuf, lmdb, h5py and pytest, but not the other libraries of
the project, and no installation.  Each step has a limit of its own, and the next one runs whatever
becomes of it.  The most important steps come first.  When the time is used up, or on SIGTERM or
Ctrl-C, the step that runs is stopped, those after it are left out, and the table shows what there
is.  --device emulated and cpu run the same steps, small, without a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = """
import platform, sys
import cv2, google.protobuf, h5py, lmdb, numpy, torch
print("python", sys.version.split()[0], platform.machine())
for module in (torch, numpy, cv2, google.protobuf, h5py, lmdb):
    print(module.__name__, getattr(module, "__version__", "?"))
print("cuda", torch.version.cuda, "cudnn", torch.backends.cudnn.version())
for i in range(torch.cuda.device_count()):
    print(f"GPU {i}:", torch.cuda.get_device_properties(i))
"""
LOGS = {  # of the steps that write these records
    "gpu.json": "table",
    "gpu_plain.json": "plain",
    "gpu_batches.json": "batches",
}
TINY = ["--net", "CaffeNetSample", "--images", "32", "--batch", "4", "--iterations", "2"]


LEAST = 5  # seconds; with less time left, no step is started


@dataclass(frozen=True)
class Step:
    """One program that is run.

    Attributes
    ----------
    name : str
        Of its log.
    limit : int
        Seconds; after that it is killed.
    command : list of str
        What follows the name of the Python interpreter.
    """

    name: str
    limit: int
    command: list[str]


def steps(out: Path, device: str) -> list[Step]:
    """What is run, in order."""
    pytest = ["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    tests, parity = ROOT / "tests" / "gpu", ROOT / "tests" / "gpu" / "test_parity_with_cpu.py"
    gpu = [str(ROOT / "benchmarks" / "gpu.py")]
    quick, large, profiled = (
        ["--quick"],
        ["--batch", "256,1024", "--mode", "graph", "--data", "cached", "--seconds", "1.5"],
        ["--batch", "64", "--precision", "tf32", "--mode", "graph", "--data", "cached"],
    )
    plain = ["--batch", "64", "--precision", "tf32,bf16", *profiled[4:], "--seconds", "1.5"]
    curves = [str(ROOT / "benchmarks" / "gpu_curves.py")]
    if device != "cuda":
        curves += ["--device", "cpu", *TINY, "--seeds", "2"]
        plain = ["--mode", "graph", "--data", "cached"]
        gpu += ["--device", "cpu", *TINY, "--precision", "fp32"]
        quick, large, profiled = ([], ["--mode", "graph"], ["--mode", "graph", "--data", "cached"])
    return [
        Step("versions", 30, ["-c", VERSIONS]),
        Step("parity", 80, [*pytest, f"--junitxml={out}/parity.xml", str(parity)]),
        Step(
            "tests", 150, [*pytest, f"--junitxml={out}/tests.xml", f"--ignore={parity}", str(tests)]
        ),
        Step("table", 100, [*gpu, *quick, "--out", f"{out}/gpu.json"]),
        Step("plain", 40, [*gpu, *plain, "--plain", "--out", f"{out}/gpu_plain.json"]),
        Step("curves", 60, [*curves, "--out", f"{out}/gpu_curves.json"]),
        Step("profile", 50, [*gpu, *profiled, "--profile", "--out", f"{out}/gpu_profile.json"]),
        Step("batches", 70, [*gpu, *large, "--out", f"{out}/gpu_batches.json"]),
    ]


class Stopped(Exception):
    """SIGTERM was sent to this process."""


def stop(*_: object) -> None:
    """The handler of SIGTERM."""
    raise Stopped


def run(step: Step, out: Path, device: str, left: float) -> tuple[str, float]:
    """Run a step for its limit or the seconds that are `left`; what became of it, and its seconds.

    SIGTERM and Ctrl-C end the step, and are raised again.
    """
    limit = min(step.limit, left)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    if device != "cuda":
        environment["TTN_TEST_DEVICE"] = device
    start = time.perf_counter()
    with open(out / f"{step.name}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *step.command],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(limit)
            became = "ok" if status == 0 else f"failed, status {status}"
        except subprocess.TimeoutExpired:
            became = f"stopped after {limit:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its children, too
                process.wait()
    return became, time.perf_counter() - start


def result(step: Step, out: Path) -> str:
    """The numbers of a step in one line."""
    report = out / f"{step.name}.xml"
    if report.is_file():
        suite = ElementTree.parse(report).getroot().find("testsuite")
        count = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        bad = count["failures"] + count["errors"]
        passed = count["tests"] - bad - count["skipped"]
        return f"{passed} passed, {bad} failed, {count['skipped']} skipped"
    log = out / f"{step.name}.log"
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    return lines[-1][:100] if lines else ""


def rows(path: Path) -> list[str]:
    """The table of a record of gpu.py; without a record, the rows that its log has."""
    if not path.is_file():
        log = path.parent / f"{LOGS[path.name]}.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
        return [line for line in lines if line.startswith("| ")]
    found = json.loads(path.read_text("utf-8"))["values"]["cells"]
    return [
        f"{c['batch']:5} {c['precision']} {c['mode']:5} {c['data']:6}"
        f" {c['images_per_second']:9,.0f} images/s {c['milliseconds']:8.2f} ms"
        f" {c['floor_share']:5.0%} of the floor, waits {c['data_wait']:.1%},"
        f" 160,000 x 64: {c['schedule_minutes']:.1f} min"
        for c in found
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for logs and records")
    parser.add_argument("--device", choices=("cuda", "emulated", "cpu"), default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=470, help="of all steps together (default: 470)"
    )
    args = parser.parse_args()
    out = args.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    end, lines, failed, stopped = time.perf_counter() + args.seconds, [], False, False
    for step in steps(out, args.device):
        left = end - time.perf_counter()
        if stopped or left < LEAST:
            lines.append(f"{step.name:9}            left out, no time was left")
            failed = True
            continue
        print(f"{step.name} (at most {min(step.limit, left):.0f} s) ...", flush=True)
        begun = time.perf_counter()
        try:
            became, seconds = run(step, out, args.device, left)
        except (Stopped, KeyboardInterrupt):
            became, seconds, stopped = "interrupted", time.perf_counter() - begun, True
        failed |= became != "ok"
        lines.append(f"{step.name:9} {seconds:5.0f} s  {became:18} {result(step, out)}")
    for name in LOGS:
        print(*rows(out / name), sep="\n")
    print(*lines, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
