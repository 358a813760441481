"""`import caffe` in a user's program changes nothing of that program's."""

import json
import subprocess
import sys

PROGRAM = """
import json, logging, os, random, signal, sys, threading, warnings
import cv2, h5py, lmdb, numpy, scipy.ndimage, torch

def state():
    return {
        "OpenCV's threads": cv2.getNumThreads(),
        "torch's threads": torch.get_num_threads(),
        "torch's gradients": torch.is_grad_enabled(),
        "torch's random numbers": torch.get_rng_state().sum().item(),
        "NumPy's random numbers": numpy.random.get_state()[1].sum().item(),
        "Python's random numbers": hash(random.getstate()),
        "NumPy's errors": numpy.geterr(),
        "TF32": [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32],
        "signals": [str(signal.getsignal(s)) for s in signal.valid_signals()],
        "threads": threading.active_count(),
        "logging": [str(logging.root.handlers), logging.root.level],
        "warnings": len(warnings.filters),
        "excepthook": sys.excepthook is sys.__excepthook__,
        "path": sys.path,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
    }

cv2.setNumThreads(3)
before = state()
import caffe
print(json.dumps([before, state()]))
"""


def test_importing_caffe_changes_nothing():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert before["OpenCV's threads"] == 3
    assert after == before
    assert done.stderr == ""
