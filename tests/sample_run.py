"""The whole chain on the embedded sample, by the command of the README: scripts/run_all.sh
--sample.

It runs twice, as after an interruption.  Stage 12 is run by itself in between, with one number of
topics and two iterations: the two trainings of the sample would take as long as all other stages.
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRAINED = "work/CNN/CaffeNetSample/trained.caffemodel"


def start(folder, script, *arguments):
    """Run a script of scripts/ with folder/data and folder/work."""
    command = ["bash", str(ROOT / "scripts" / script), *arguments]
    command += ["--data", str(folder / "data"), "--work", str(folder / "work")]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"GLOG_minloglevel": "0"},
    )


def run_all(folder, *arguments):
    """Run `scripts/run_all.sh --sample` with folder/data and folder/work."""
    return start(folder, "run_all.sh", "--sample", *arguments)


def whole_chain(folder):
    """What the two runs of the chain have printed."""
    small = ["--voc", str(folder / "data"), "--net", "CaffeNetSample", "--solver"]
    small += ["solver.prototxt", "--workers", "1", "--topics", "10", "--iterations", "2"]
    printed = []
    for script, *arguments in (
        ("run_all.sh", "--sample", "--to", "11"),
        ("12_number_of_topics.sh", *small),
        ("run_all.sh", "--sample"),
    ):
        weights = folder / TRAINED
        before = weights.stat().st_mtime_ns if weights.exists() else None
        done = start(folder, script, *arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert before in (None, weights.stat().st_mtime_ns)  # it is trained once
        printed.append(done.stdout)
    return printed[0], printed[-1]
