"""caffe time: what it runs, and what it reports."""

import itertools
import re
import time

import caffe
from caffe.benchmark import benchmark

DEPLOY = """
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3
  weight_filler { type: "constant" value: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 2
  weight_filler { type: "constant" value: 1 } } }
"""


def test_a_net_without_a_loss_runs_backward_too(tmp_path, capfd):
    """As in Caffe, every layer computes its gradients in each iteration, even without a loss."""
    (tmp_path / "net.prototxt").write_text(DEPLOY)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    assert not any(node.needs_backward for node in net.nodes)
    net.blobs["data"].data[...] = 1
    net.blobs["fc"].diff[...] = 1
    benchmark(net, 3)
    # 3 iterations, 2 images, 27 ones under each window
    assert (net.params["fc"][0].diff == 3 * 2 * 27).all()
    assert (net.params["fc"][1].diff == 3 * 2).all()
    log = capfd.readouterr().err
    assert len(re.findall(r"(data|conv|fc)\tbackward: \S+ ms\.", log)) == 3
    assert float(re.search(r"fc\tbackward: (\S+) ms\.", log).group(1)) > 0
    assert "wait for data" not in log  # nothing is read


def test_the_wait_for_data(net_from, float_lmdb, capfd, monkeypatch):
    """By a clock that moves half a second whenever it is read.

    The layer reads it twice in each forward, and so waits half a second; an iteration reads it
    eight times in all: at its begin and end, around the layer's forward and backward, and in the
    layer.  The first forward is not counted.
    """
    monkeypatch.setenv("GLOG_minloglevel", "0")
    net = net_from(
        'layer { name: "data" type: "Data" top: "data" data_param {'
        f' source: "{float_lmdb([[1], [2]])}" batch_size: 2 backend: LMDB }} }}'
    )
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock) * 0.5)
    benchmark(net, 4)
    net.close()
    log = capfd.readouterr().err
    # 4 iterations of eight steps, and the step to the last reading: 33 half seconds
    share = 100 * 4 * 500 / (33 * 500)
    assert f"Average wait for data: 500 ms, {share:.1f} % of Forward-Backward." in log
