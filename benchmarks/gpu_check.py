"""Test and measure everything on a GPU, in one call of at most eight minutes.

Reads:   the project
Writes:  OUT/logs.txt, OUT/records.json, OUT/table.txt, OUT/*.xml; prints a short table last
Paper:   none of its tables
Usage:   python benchmarks/gpu_check.py OUT [--device cuda|emulated|cpu] [--seconds 470]

It needs PyTorch with CUDA, OpenCV, protobuf, lmdb, h5py and pytest, but not the other libraries of
the project, and no installation.  Each step has a limit of its own, and the next one runs whatever
becomes of it.  The most important steps come first.  The files in OUT are complete after each step.
When the time is used up, or on SIGTERM or Ctrl-C, the step that runs is stopped, those after it are
left out, and the table shows what there is.  --device emulated and cpu run the same steps, small,
without a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
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
NEEDED = {  # module: the package that brings it
    "torch": "torch",
    "numpy": "numpy",
    "cv2": "opencv-python",
    "google.protobuf": "protobuf",
    "lmdb": "lmdb",
    "h5py": "h5py",
    "pytest": "pytest",
}
TABLES = ("table", "without", "untried", "batches")  # steps that measure rows
SHOWN = 12  # lines of the log of a step that failed
LEAST = 5  # seconds; with less time left, no step is started
TINY = ["--net", "CaffeNetSample", "--images", "32", "--batch", "4", "--iterations", "2"]


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
    pytest = ["-m", "pytest", "-v", "-rfEs", "--tb=short", "--show-capture=no"]
    pytest += ["-p", "no:cacheprovider"]
    folder = ROOT / "tests" / "gpu"
    parity = folder / "test_parity_with_cpu.py"
    layers = [folder / f"test_{name}_on_gpu.py" for name in ("recorded_layers", "blobs", "labels")]
    # the slow ones, which the limit may stop, come last, and NCCL, which may wait for a network
    last = ("recorded_training_on_gpu", "gpu_faults", "several_processes_on_gpus")
    last = [folder / f"test_{name}.py" for name in last]
    others = sorted({*folder.glob("test_*.py")} - {parity, *layers, *last})
    gpu = [str(ROOT / "benchmarks" / "gpu.py")]
    quick, large, profiled = (
        ["--quick", "--precision", "tf32,bf16,fp32"],
        [
            "--batch",
            "256,1024",
            "--precision",
            "tf32,bf16",
            "--mode",
            "graph",
            "--data",
            "cached",
            "--seconds",
            "1.5",
        ],
        ["--batch", "64", "--precision", "tf32", "--mode", "graph", "--data", "cached"],
    )
    without = [*profiled, "--images", "512", "--seconds", "1", "--without"]
    ways = "ways,overlap"
    curves = [str(ROOT / "benchmarks" / "gpu_curves.py")]
    if device != "cuda":
        curves += ["--device", "cpu", *TINY, "--seeds", "2"]
        without, ways = ["--mode", "graph", "--data", "cached", "--without"], "overlap"
        gpu += ["--device", "cpu", *TINY, "--precision", "fp32"]
        quick, large, profiled = ([], ["--mode", "graph"], ["--mode", "graph", "--data", "cached"])

    def tests(name: str, limit: int, *arguments: str | Path) -> Step:
        return Step(name, limit, [*pytest, f"--junitxml={out}/{name}.xml", *map(str, arguments)])

    def rows(name: str, limit: int, *arguments: str) -> Step:
        return Step(name, limit, [*gpu, *arguments, "--out", f"{out}/{name}.json"])

    return [
        Step("versions", 30, ["-c", VERSIONS]),
        tests("parity", 80, parity),
        tests("layers", 60, *layers),
        tests("tests", 120, *others, *last),
        rows("table", 110, *quick),
        rows("without", 50, *without, ways),
        Step("curves", 60, [*curves, "--out", f"{out}/curves.json"]),
        rows("profile", 50, *profiled, "--profile"),
        rows("untried", 30, *without, "algorithms"),  # a process in which cuDNN tries none
        rows("batches", 70, *large),
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
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
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


def lines_of(step: str, folder: Path) -> list[str]:
    """The log of a step so far."""
    log = folder / f"{step}.log"
    return log.read_text("utf-8", "replace").splitlines() if log.is_file() else []


def result(step: Step, folder: Path) -> str:
    """The numbers of a step in one line; of a step that was stopped, those that it has had."""
    lines, report = lines_of(step.name, folder), folder / f"{step.name}.xml"
    record = folder / f"{step.name}.json"
    if report.is_file():
        suite = ElementTree.parse(report).getroot().find("testsuite")
        count = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
        bad = count["failures"] + count["errors"]
        passed = count["tests"] - bad - count["skipped"]
        return f"{passed} passed, {bad} failed, {count['skipped']} skipped"
    if "pytest" in step.command:
        words = [set(line.split()) for line in lines if "::" in line]
        passed, failed, errors, skipped = (
            sum(word in each for each in words) for word in ("PASSED", "FAILED", "ERROR", "SKIPPED")
        )
        return f"{passed} passed, {failed + errors} failed, {skipped} skipped, and no more"
    if record.is_file() and step.name != "curves":
        values = json.loads(record.read_text("utf-8"))["values"]
        return f"{len(values['cells'])} rows, {len(values['left out'])} left out"
    return lines[-1][:100] if lines else ""


def rows(step: str, folder: Path) -> list[str]:
    """The table of a step's record; without a record, the rows that its log has."""
    record = folder / f"{step}.json"
    if not record.is_file():
        return [line for line in lines_of(step, folder) if line.startswith("| ")]
    values = json.loads(record.read_text("utf-8"))["values"]
    left_out = [f"left out: {text.splitlines()[0][:150]}" for text in values["left out"]]
    return left_out + [
        f"{c['batch']:5} {c['precision']} {c['mode']:5} {c['data']:6}"
        f" {c['images_per_second']:9,.0f} images/s {c['milliseconds']:8.2f} ms"
        f" {c['floor_share']:5.0%} of the floor, waits {c['data_wait']:.1%},"
        f" 160,000 x 64: {c['schedule_minutes']:.1f} min"
        + (f", without {c['without']}" if c["without"] else "")
        for c in values["cells"]
    ]


def collect(folder: Path, out: Path, table: list[str]) -> None:
    """Write what there is so far to a few files in `out`."""
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
    texts = [f"===== {log.stem}\n{log.read_text('utf-8', 'replace')}" for log in logs]
    (out / "logs.txt").write_text("\n".join(texts), "utf-8")
    records = {p.stem: json.loads(p.read_text("utf-8")) for p in sorted(folder.glob("*.json"))}
    (out / "records.json").write_text(json.dumps(records, indent=1) + "\n")
    (out / "table.txt").write_text("\n".join(table) + "\n", "utf-8")
    for report in folder.glob("*.xml"):
        shutil.copy(report, out)


def missing() -> list[str]:
    """The packages that are needed and not there."""
    return [package for module, package in NEEDED.items() if not found(module)]


def found(module: str) -> bool:
    """Whether a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that should hold it
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for logs and records")
    parser.add_argument("--device", choices=("cuda", "emulated", "cpu"), default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=470, help="of all steps together (default: 470)"
    )
    args = parser.parse_args()
    if missing():
        names = " ".join(missing())
        print(f"gpu_check.py: {names} is missing: python -m pip install {names}")
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    with tempfile.TemporaryDirectory() as folder:
        return run_all(Path(folder), args.out, args.device, args.seconds)


def run_all(folder: Path, out: Path, device: str, seconds: float) -> int:
    """Run the steps in a folder of their own; the status of the program."""
    end, lines, failed, stopped = time.perf_counter() + seconds, [], False, False
    for step in steps(folder, device):
        left = end - time.perf_counter()
        if stopped or left < LEAST:
            lines.append(f"{step.name:9}            left out, no time was left")
            failed = True
            continue
        print(f"{step.name} (at most {min(step.limit, left):.0f} s) ...", flush=True)
        begun = time.perf_counter()
        try:
            became, took = run(step, folder, device, left)
        except (Stopped, KeyboardInterrupt):
            became, took, stopped = "interrupted", time.perf_counter() - begun, True
        failed |= became != "ok"
        if became != "ok":
            print(*lines_of(step.name, folder)[-SHOWN:], sep="\n", flush=True)
        lines.append(f"{step.name:9} {took:5.0f} s  {became:18} {result(step, folder)}")
        collect(folder, out, lines)
    table = [*(line for name in TABLES for line in rows(name, folder)), *lines]
    collect(folder, out, table)
    print(*table, sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
