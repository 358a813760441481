"""pycaffe: the scripts that people have, on small nets."""

import numpy as np
import pytest

import caffe

NET = """
name: "small" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture
def files(tmp_path):
    caffe.set_random_seed(0)
    (tmp_path / "net.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.save(str(tmp_path / "net.caffemodel"))
    return str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")


def test_constructors_agree(files):
    model, weights = files
    nets = [
        caffe.Net(model, weights, caffe.TEST),
        caffe.Net(model, caffe.TEST, weights=weights),
        caffe.Net(model, caffe.TEST, level=0, stages=["x"], weights=weights),
    ]
    for net in nets[1:]:
        np.testing.assert_array_equal(net.params["fc"][0].data, nets[0].params["fc"][0].data)
    with pytest.raises(TypeError):
        caffe.Net(model)


def test_names(files):
    net = caffe.Net(*files, caffe.TEST)
    assert list(net.blobs) == ["data", "conv", "fc", "prob"] and list(net.params) == ["conv", "fc"]
    assert net.inputs == ["data"] and net.outputs == ["prob"]
    assert net.top_names["conv"] == ["conv"] and net.bottom_names["fc"] == ["conv"]
    assert [layer.type for layer in net.layers] == ["Input", "Convolution", "ReLU", "InnerProduct", "Softmax"]
    assert net.layer_dict["fc"].blobs[1].data.shape == (5,)
    assert net.blobs["data"].num == 4 and net.blobs["data"].channels == 3 and net.blobs["data"].width == 6


def test_start_and_end(files):
    net = caffe.Net(*files, caffe.TEST)
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(4, 3, 6, 6)
    whole = net.forward(blobs=["fc"])
    prob, fc = whole["prob"].copy(), whole["fc"].copy()
    net.blobs["fc"].data[...] = 0
    np.testing.assert_allclose(net.forward(start="prob")["prob"], 0.2, rtol=1e-6)
    np.testing.assert_array_equal(net.forward(end="fc")["fc"], fc)
    np.testing.assert_array_equal(net.forward()["prob"], prob)


def test_forward_all_fills_up_the_last_batch(files):
    net = caffe.Net(*files, caffe.TEST)
    data = np.random.RandomState(1).randn(10, 3, 6, 6).astype(np.float32)
    found = net.forward_all(data=data, blobs=["conv"])
    assert found["prob"].shape == (10, 5) and found["conv"].shape == (10, 2, 4, 4)
    for start in range(0, 8, 4):
        np.testing.assert_allclose(net.forward(data=data[start : start + 4])["prob"], found["prob"][start : start + 4], rtol=1e-6)
    with pytest.raises(caffe.CaffeError, match="inputs are data"):
        net.forward_all(picture=data)


def test_forward_backward_all(files):
    net = caffe.Net(*files, caffe.TEST)
    data = np.random.RandomState(2).randn(6, 3, 6, 6).astype(np.float32)
    diff = np.zeros((6, 5), dtype=np.float32)
    diff[:, 1] = 1
    blobs, diffs = net.forward_backward_all(data=data, prob=diff, diffs=["fc"])
    p = blobs["prob"]
    np.testing.assert_allclose(diffs["fc"], p * (diff - p[:, 1:2]), atol=1e-6)
    assert diffs["data"].shape == data.shape


def test_gradient_of_a_class_score(files):
    """backward from one unit: the saliency script."""
    net = caffe.Net(*files, caffe.TEST)
    x = np.random.RandomState(3).randn(4, 3, 6, 6).astype(np.float32)
    net.forward(data=x)
    net.blobs["fc"].diff[...] = 0
    net.blobs["fc"].diff[:, 2] = 1
    saliency = net.backward(start="fc")["data"].copy()
    step = np.zeros_like(x)
    step[0, 1, 2, 3] = 1e-2
    up, down = (net.forward(data=x + s * step, blobs=["fc"])["fc"][0, 2].copy() for s in (1, -1))
    assert saliency[0, 1, 2, 3] == pytest.approx((up - down) / 2e-2, abs=1e-3)


def test_net_surgery(files, tmp_path):
    """fully connected to convolutional: the notebook's steps."""
    net = caffe.Net(*files, caffe.TEST)
    text = NET.replace('"fc" type: "InnerProduct"', '"fc-conv" type: "Convolution"').replace(
        "inner_product_param { num_output: 5", "convolution_param { num_output: 5 kernel_size: 4"
    )
    (tmp_path / "conv.prototxt").write_text(text.replace("dim: 6 dim: 6", "dim: 8 dim: 6"))
    full = caffe.Net(str(tmp_path / "conv.prototxt"), files[1], caffe.TEST)
    weights, bias = net.params["fc"][0].data, net.params["fc"][1].data
    full.params["fc-conv"][0].data.flat = weights.flat
    full.params["fc-conv"][1].data[...] = bias
    x = np.random.RandomState(4).randn(4, 3, 8, 6).astype(np.float32)
    found = full.forward(data=x)["prob"]
    assert found.shape == (4, 5, 3, 1)
    np.testing.assert_allclose(found[:, :, 1, 0], net.forward(data=x[:, :, 1:7])["prob"], rtol=1e-5)


def test_reshape(files):
    net = caffe.Net(*files, caffe.TEST)
    net.blobs["data"].reshape(1, 3, 6, 6)
    net.reshape()
    assert net.blobs["prob"].data.shape == (1, 5)
    net.blobs["data"].reshape(2, 3, 9, 9)
    with pytest.raises(caffe.CaffeError, match="layer 'fc'"):
        net.reshape()


def test_sharing_and_hdf5(files, tmp_path):
    one, two = (caffe.Net(files[0], caffe.TEST) for _ in range(2))
    two.share_with(one)
    one.params["fc"][1].data[...] = 7
    assert (two.params["fc"][1].data == 7).all()
    one.save_hdf5(str(tmp_path / "n.h5"))
    three = caffe.Net(files[0], caffe.TEST)
    three.load_hdf5(str(tmp_path / "n.h5"))
    np.testing.assert_array_equal(three.params["conv"][0].data, one.params["conv"][0].data)


def test_finetuning_copies_what_fits_by_name(files, tmp_path):
    text = NET.replace('"fc" type', '"fc_new" type').replace("num_output: 5", "num_output: 3")
    (tmp_path / "tune.prototxt").write_text(text)
    net = caffe.Net(files[0], files[1], caffe.TEST)
    tuned = caffe.Net(str(tmp_path / "tune.prototxt"), caffe.TEST)
    before = tuned.params["fc_new"][0].data.copy()
    tuned.copy_from(files[1])
    np.testing.assert_array_equal(tuned.params["conv"][0].data, net.params["conv"][0].data)
    np.testing.assert_array_equal(tuned.params["fc_new"][0].data, before)


def test_memory_data(tmp_path):
    path = tmp_path / "m.prototxt"
    path.write_text(
        'layer { name: "m" type: "MemoryData" top: "data" top: "label" memory_data_param { batch_size: 2 channels: 1 height: 1'
        ' width: 1 } } layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 3 } }'
    )
    net = caffe.Net(str(path), caffe.TEST)
    net.set_input_arrays(np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), np.arange(4, dtype=np.float32))
    assert [net.forward()["p"].ravel().tolist() for _ in range(3)] == [[0, 3], [6, 9], [0, 3]]


def test_a_solver_that_calls_back(files, tmp_path):
    (tmp_path / "train.prototxt").write_text(
        NET.replace('type: "Softmax" bottom: "fc" top: "prob"', 'type: "Reduction" bottom: "fc" top: "sum" loss_weight: 1')
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 9 snapshot_prefix: "{tmp_path}/s"'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    assert isinstance(solver, caffe.SGDSolver)
    solver.net.blobs["data"].data[...] = 1
    seen = []
    solver.add_callback(lambda: seen.append(("start", solver.iter)), lambda: seen.append(("gradients", solver.iter)))
    before = solver.net.params["fc"][1].data.copy()
    solver.step(2)
    assert seen == [("start", 0), ("gradients", 0), ("start", 1), ("gradients", 1)]
    np.testing.assert_allclose(solver.net.params["fc"][1].data, before - 2 * 0.1 * 4, rtol=1e-5)
