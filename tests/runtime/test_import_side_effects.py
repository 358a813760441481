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
for name in caffe.__all__:  # a name is loaded when it is first used
    getattr(caffe, name)
print(json.dumps([before, state()]))
"""


def test_importing_caffe_changes_nothing():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert before["OpenCV's threads"] == 3
    assert after == before
    assert done.stderr == ""


READING = """
import sys
import caffe
from caffe import database, log, net_parameter, prototxt
from caffe.proto import caffe_pb2
print(sorted({"torch", "scipy", "h5py"} & set(sys.modules)))
caffe.Net
print("torch" in sys.modules, caffe.layers.Softmax is not None, len(caffe.layer_type_list()) > 50)
"""


def test_reading_caffes_files_does_not_wait_for_pytorch():
    done = subprocess.run(
        [sys.executable, "-c", READING], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "[]\nTrue True True\n", done.stderr


def test_an_unknown_name_is_an_attribute_error():
    import caffe

    assert not hasattr(caffe, "no_such_name")
    assert {"Net", "layers", "__version__"} <= set(dir(caffe))
