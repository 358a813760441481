"""The whole chain on the embedded sample, by the command of the README."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_all(folder, *arguments):
    """Run `scripts/run_all.sh --sample` with folder/data and folder/work."""
    command = ["bash", str(ROOT / "scripts" / "run_all.sh"), "--sample", *arguments]
    command += ["--data", str(folder / "data"), "--work", str(folder / "work")]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"GLOG_minloglevel": "0"},
    )
