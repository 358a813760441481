"""Trainings of a small net, to compare ways of running the same iterations."""

import numpy as np
from google.protobuf import text_format

import caffe
from caffe.database import Writer
from caffe.proto import caffe_pb2

ITERATIONS = 12
NET = """
layer {{ name: "data" type: "Data" top: "x" {data} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "c"
  param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  convolution_param {{ num_output: 6 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "c" top: "c" }}
layer {{ name: "pool" type: "Pooling" bottom: "c" top: "p"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
layer {{ name: "norm" type: "LRN" bottom: "p" top: "n" lrn_param {{ local_size: 3 alpha: 0.1 }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "n" top: "h"
  param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  inner_product_param {{ num_output: 8 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu2" type: "ReLU" bottom: "h" top: "h" }}
layer {{ name: "drop" type: "Dropout" bottom: "h" top: "h"
  dropout_param {{ dropout_ratio: {dropout} }} }}
layer {{ name: "y" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "t" type: "InnerProduct" bottom: "x" top: "t" param {{ lr_mult: 0 }}
  param {{ lr_mult: 0 }} inner_product_param {{ num_output: 3
  weight_filler {{ type: "uniform" min: -0.1 max: 0.1 }} }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }}
"""
# a data layer, a convolution in groups and an LRN: layers that can be computed in several ways
WAYS = """
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 2 dim: 4 dim: 6 dim: 6 } shape { dim: 2 dim: 2 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 0.25 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param {
  num_output: 4 kernel_size: 3 group: 2 weight_filler { type: "xavier" } } }
layer { name: "n" type: "LRN" bottom: "c" top: "n" }
layer { name: "ip" type: "InnerProduct" bottom: "n" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
DATA = """data_param {{ source: "{path}" backend: LMDB batch_size: 4 }}
  transform_param {{ crop_size: 7 mirror: true scale: 0.01 mean_value: 100 }}"""
SGD = 'momentum: 0.9 weight_decay: 0.01 lr_policy: "multistep" gamma: 0.1 stepvalue: 5 stepvalue: 9'


def write_lmdb(path):
    """Ten images of 9 x 9."""
    with Writer(path) as database:
        for i in range(10):
            pixels = np.random.default_rng(i).integers(0, 256, (3, 9, 9), dtype=np.uint8)
            datum = caffe_pb2.Datum(channels=3, height=9, width=9, data=pixels.tobytes())
            database.put(f"{i:04}", datum)
    return path


class Trainings:
    """Trainings of the net above in one folder."""

    def __init__(self, folder, lmdb):
        self.folder, self.lmdb, self.solvers = folder, lmdb, []

    def solver(self, settings, recorder=None, dropout=0, data=DATA, net=NET):
        text = net.format(data=data.format(path=self.lmdb), dropout=dropout)
        (self.folder / "net.prototxt").write_text(text)
        given = caffe_pb2.SolverParameter(net=str(self.folder / "net.prototxt"))
        given.random_seed, given.max_iter, given.base_lr = 3, ITERATIONS, 0.05
        given.snapshot_prefix = f"{self.folder}/s"
        text_format.Merge(settings, given)
        solver = caffe.get_solver(given)
        self.solvers.append(solver)
        if recorder is not None:  # else that of the device: none on the CPU
            solver.recorder = recorder
        for net in (solver.net, *solver.test_nets):
            net.keep_blobs = False
        return solver

    def close(self):
        """Stop the reader threads, which would keep OpenCV's threads off in other tests."""
        for solver in self.solvers:
            solver.close()


def trained(solver, iterations=ITERATIONS):
    """Train one iteration at a time; the losses, the weights and the history."""
    losses = []
    for _ in range(iterations):
        solver.step(1)
        losses.append(float(solver.training_log.losses[-1]))
    solver.close()
    return losses, state(solver)


def state(solver):
    weights = [p.blob.tensor() for p in solver.net.learnable]
    return [tensor.detach().clone().cpu().numpy() for tensor in [*weights, *solver.updater.history]]


def assert_equal(first, second, rtol=2e-5):
    np.testing.assert_allclose(first[0], second[0], rtol=rtol)
    for a, b in zip(first[1], second[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1e-6, np.abs(b).max()))
