"""Drawn images in LMDBs, and solvers of the project's nets that read them, for the benchmarks."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import lmdb
import numpy as np

if TYPE_CHECKING:
    from caffe.solver import Solver

ROOT = Path(__file__).resolve().parent.parent
TOPICS = 40
SOLVER = """
base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 max_iter: 1000000
snapshot_after_train: false random_seed: 0 solver_mode: CPU
"""


def drawn_jpeg(rng: np.random.Generator, side: int = 256) -> bytes:
    """A smooth random image as a JPEG, about as large as that of a photograph."""
    small = rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    image = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", image)[1].tobytes()


def make_lmdbs(folder: Path, count: int, side: int = 256) -> None:
    """Write train_images_lmdb and train_labels_lmdb, packed as by create_lmdb.py.

    Parameters
    ----------
    folder : Path
    count : int
        Number of images.
    side : int
        Their width and height.
    """
    from caffe.proto import caffe_pb2

    rng = np.random.default_rng(0)
    images = lmdb.open(str(folder / "train_images_lmdb"), map_size=1 << 30)
    labels = lmdb.open(str(folder / "train_labels_lmdb"), map_size=1 << 30)
    with images.begin(write=True) as image_txn, labels.begin(write=True) as label_txn:
        for i in range(count):
            key = f"{i:08d}_random".encode()
            datum = caffe_pb2.Datum(data=drawn_jpeg(rng, side), encoded=True)
            image_txn.put(key, datum.SerializeToString())
            label = rng.dirichlet(np.full(TOPICS, 0.1)).astype(np.float32)
            datum = caffe_pb2.Datum(channels=TOPICS, height=1, width=1, float_data=label.tolist())
            label_txn.put(key, datum.SerializeToString())
    images.close()
    labels.close()


def solver_of(name: str, folder: Path, batch: int | None = None, seed: int = 0) -> "Solver":
    """A solver for a net of CNN/ that reads the LMDBs in `folder`, set up as by `caffe train`.

    Parameters
    ----------
    name : str
        The net's folder, such as ``'CaffeNet'``.
    folder : Path
    batch : int, optional
        Images per iteration; default: the net's own batch_size.
    seed : int
        The solver's random_seed.
    """
    os.environ.setdefault("GLOG_minloglevel", "1")
    import caffe
    from caffe import prototxt
    from caffe.proto import caffe_pb2

    net = prototxt.read_net(ROOT / "CNN" / name / "train_val.prototxt")
    for layer in net.layer:
        if layer.type == "Data" and batch is not None:
            layer.data_param.batch_size = batch
    solver = prototxt.parse(SOLVER, caffe_pb2.SolverParameter())
    solver.net_param.CopyFrom(net)
    solver.random_seed = seed
    solver.snapshot_prefix = str(folder / "snapshot")
    here = os.getcwd()
    os.chdir(folder)
    try:
        made = caffe.get_solver(solver)
    finally:
        os.chdir(here)
    made.net.keep_blobs = False
    return made
