"""The recorded training runs of BVLC Caffe; they run in the folder train/ of the recordings."""

import numpy as np

import caffe
from caffe import prototxt

RUNS = [
    "adadelta",
    "adagrad",
    "adam",
    "nesterov_step",
    "rmsprop",
    "sgd_clip",
    "sgd_fixed",
    "sgd_frozen_conv123",
    "sgd_inv",
    "sgd_itersize2",
    "sgd_l1_strong",
    "sgd_l2_strong",
    "sgd_multistep",
    "sgd_nomomentum_nowd",
    "sgd_poly",
    "sgd_step",
    "sgd_step_h5",
]


def make_solver(run, tmp_path):
    param = prototxt.read_solver(f"runs/{run}/solver.prototxt")
    param.snapshot_prefix = str(tmp_path / "snap")
    return caffe.get_solver(param)


def worst(net, arrays, tag):
    """Largest deviation of the net's weights from those recorded under `tag`."""
    deviations = []
    for key in arrays:
        if key.startswith(f"{tag}."):
            layer, index = key[len(tag) + 1 :].rsplit(".", 1)
            deviations.append(np.abs(net.params[layer][int(index)].data - arrays[key]).max())
    assert deviations
    return max(deviations)
