"""Between displays the host never waits for the GPU."""

import numpy as np
import pytest
import tested_device

import caffe
from caffe.database import Writer
from caffe.proto import caffe_pb2

NET = """
layer { name: "data" type: "Data" top: "x" top: "label"
  transform_param { mirror: true crop_size: 8 mean_value: 10 mean_value: 20 mean_value: 30 }
  data_param { source: "images" batch_size: 4 backend: LMDB } }
layer { name: "targets" type: "Data" top: "t"
  data_param { source: "targets" batch_size: 4 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param {
  num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" pooling_param {
  pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "p" top: "n" lrn_param { local_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "n" top: "f" inner_product_param {
  num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "f" top: "f" }
layer { name: "topics" type: "SigmoidCrossEntropyLoss" bottom: "f" bottom: "t" top: "topics" }
layer { name: "classes" type: "SoftmaxWithLoss" bottom: "f" bottom: "label" top: "classes" }
layer { name: "accuracy" type: "Accuracy" bottom: "f" bottom: "label" top: "accuracy" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
max_iter: 1000 display: 500 random_seed: 1 snapshot_after_train: false {more}
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A folder with two LMDBs of 12 records, and the net that reads them."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    with Writer("images") as images, Writer("targets") as targets:
        for i in range(12):
            pixels = draw.integers(0, 256, 3 * 10 * 10, np.uint8).tobytes()
            images.put(
                f"{i:04}",
                caffe_pb2.Datum(channels=3, height=10, width=10, data=pixels, label=i % 5),
            )
            row = draw.random(5).tolist()
            targets.put(f"{i:04}", caffe_pb2.Datum(channels=5, height=1, width=1, float_data=row))
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


@tested_device.on_a_gpu
@pytest.mark.parametrize("more", ["", "iter_size: 2", 'type: "Adam" momentum2: 0.999'])
def test_no_waits_between_displays(job, gpu, more):
    (job / "solver.prototxt").write_text(SOLVER.format(more=more))
    solver = caffe.get_solver("solver.prototxt")
    solver.net.keep_blobs = False
    solver.step(5)  # the first one displays; cuDNN chooses its algorithms, a graph may be captured
    try:
        with tested_device.no_waits(gpu):
            for _ in range(5):
                solver._turn()
    finally:
        solver.close()
    assert solver.iter == 10
