"""pycaffe, used as in people's scripts, on small nets."""

import numpy as np
import pytest

import caffe

NET = """
name: "small" force_backward: true
layer { name: "data" type: "Input" top: "data" input_param {
  shape { dim: 4 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3
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
    assert list(net.blobs) == ["data", "conv", "fc", "prob"]
    assert list(net.params) == ["conv", "fc"]
    assert net.inputs == ["data"]
    assert net.outputs == ["prob"]
    assert net.top_names["conv"] == ["conv"]
    assert net.bottom_names["fc"] == ["conv"]
    assert [layer.type for layer in net.layers] == [
        "Input",
        "Convolution",
        "ReLU",
        "InnerProduct",
        "Softmax",
    ]
    assert net.layer_dict["fc"].blobs[1].data.shape == (5,)
    assert net.blobs["data"].num == 4
    assert net.blobs["data"].channels == 3
    assert net.blobs["data"].width == 6


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
    assert found["prob"].shape == (10, 5)
    assert found["conv"].shape == (10, 2, 4, 4)
    for start in range(0, 8, 4):
        np.testing.assert_allclose(
            net.forward(data=data[start : start + 4])["prob"],
            found["prob"][start : start + 4],
            rtol=1e-6,
        )
    with pytest.raises(caffe.CaffeError, match="expected the inputs data; got picture"):
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
    """As saliency scripts do: backward from one unit."""
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
    """The steps of BVLC's notebook, from fully connected to convolutional."""
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
        'layer { name: "m" type: "MemoryData" top: "data" top: "label"'
        " memory_data_param { batch_size: 2 channels: 1 height: 1"
        ' width: 1 } } layer { name: "p" type: "Power" bottom: "data" top: "p"'
        " power_param { scale: 3 } }"
    )
    net = caffe.Net(str(path), caffe.TEST)
    net.set_input_arrays(
        np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1), np.arange(4, dtype=np.float32)
    )
    assert [net.forward()["p"].ravel().tolist() for _ in range(3)] == [[0, 3], [6, 9], [0, 3]]


def test_a_solver_that_calls_back(files, tmp_path):
    (tmp_path / "train.prototxt").write_text(
        NET.replace(
            'type: "Softmax" bottom: "fc" top: "prob"',
            'type: "Reduction" bottom: "fc" top: "sum" loss_weight: 1',
        )
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 9'
        f' snapshot_prefix: "{tmp_path}/s"'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    assert isinstance(solver, caffe.SGDSolver)
    solver.net.blobs["data"].data[...] = 1
    seen = []
    solver.add_callback(
        lambda: seen.append(("start", solver.iter)), lambda: seen.append(("gradients", solver.iter))
    )
    before = solver.net.params["fc"][1].data.copy()
    solver.step(2)
    assert seen == [("start", 0), ("gradients", 0), ("start", 1), ("gradients", 1)]
    np.testing.assert_allclose(solver.net.params["fc"][1].data, before - 2 * 0.1 * 4, rtol=1e-5)


STAGED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
layer { name: "a" type: "Power" bottom: "x" top: "a" include { min_level: 1 stage: "deploy" } }
"""


def test_level_and_stages_by_position_and_by_name(tmp_path):
    """BVLC: Net(network_file, phase, level=0, stages=None, weights=None)."""
    path = str(tmp_path / "staged.prototxt")
    (tmp_path / "staged.prototxt").write_text(STAGED)
    for net in (
        caffe.Net(path, caffe.TEST, 1, ["deploy"]),
        caffe.Net(path, caffe.TEST, 1, ["deploy", "other"], None),
        caffe.Net(path, caffe.TEST, 2, stages=["deploy"]),
        caffe.Net(network_file=path, phase=caffe.TEST, level=1, stages=["deploy"]),
    ):
        assert list(net.blobs) == ["x", "a"]
    for net in (
        caffe.Net(path, caffe.TEST),
        caffe.Net(path, caffe.TEST, 0, ["deploy"]),
        caffe.Net(path, caffe.TEST, level=1),
    ):
        assert list(net.blobs) == ["x"]


def test_weights_by_position_and_by_name(files, capfd):
    model, weights = files
    one = caffe.Net(model, caffe.TEST, 0, [], weights).params["fc"][0].data
    two = caffe.Net(network_file=model, phase=caffe.TEST, weights=weights).params["fc"][0].data
    assert "DEPRECATION" not in capfd.readouterr().err
    old = caffe.Net(model, weights, caffe.TEST).params["fc"][0].data
    assert "DEPRECATION WARNING - deprecated use of Python interface" in capfd.readouterr().err
    np.testing.assert_array_equal(one, two), np.testing.assert_array_equal(one, old)
    for wrong in (
        (model, caffe.TEST, 0, [], weights, 1),
        (model, weights, caffe.TEST, 0),
        (model, weights),
    ):
        with pytest.raises(TypeError, match="network_file"):
            caffe.Net(*wrong)
    with pytest.raises(TypeError):
        caffe.Net(model, caffe.TEST, phase=caffe.TEST)


def test_names_of_bvlcs_c_code(files):
    """Under their own names, as _caffe.cpp exports them."""
    net = caffe.Net(*files, caffe.TEST)
    assert net._layer_names == ["data", "conv", "relu", "fc", "prob"]
    assert net._blob_names == [
        "data",
        "conv",
        "fc",
        "prob",
    ]
    assert net._inputs == [0]
    assert net._outputs == [3]
    assert net._blobs[2] is net.blobs["fc"]
    assert [net._top_ids(i) for i in range(5)] == [[0], [1], [1], [2], [3]]
    assert [net._bottom_ids(i) for i in range(5)] == [[], [0], [1], [1], [2]]
    assert net._blob_loss_weights == [0, 0, 0, 0]
    assert list(net.blob_loss_weights.values()) == [
        0,
        0,
        0,
        0,
    ]


LOSS = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
layer { name: "double" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
layer { name: "ip" type: "Scale" bottom: "y" top: "z" scale_param { axis: 0 num_axes: 0 } }
layer { name: "loss" type: "Reduction" bottom: "z" top: "loss" loss_weight: 3 }
"""


@pytest.fixture
def loss_net(tmp_path):
    (tmp_path / "loss.prototxt").write_text(LOSS)
    net = caffe.Net(str(tmp_path / "loss.prototxt"), caffe.TRAIN)
    net.blobs["x"].data[...] = [1, 4]
    return net


def test_forward_and_backward_by_index(loss_net):
    """_forward returns the weighted loss of the layers that it has run."""
    assert loss_net._forward(0, 2) == 0
    assert loss_net.blobs["z"].data.tolist() == [2, 8]
    assert loss_net._forward(3, 3) == 30
    loss_net.blobs["loss"].diff[...] = 0.5  # the loss weight, as Caffe keeps it
    assert loss_net._forward(0, 3) == 5
    loss_net._backward(3, 2)
    assert loss_net.params["ip"][0].diff == 0.5 * 10
    for start, end in ((-1, 2), (0, 4)):
        with pytest.raises(caffe.CaffeError, match="there are layers 0 to 3"):
            loss_net._forward(start, end)
        with pytest.raises(caffe.CaffeError, match="there are layers 0 to 3"):
            loss_net._backward(end, start)


def test_callbacks_at_every_layer(loss_net):
    seen = []
    for when in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(loss_net, when)(
            lambda i, when=when: seen.append((when, i, float(loss_net.blobs["y"].data[1])))
        )
    loss_net.forward()
    assert seen == [
        (f"{w}_forward", i, 8 if i > 1 or (i, w) == (1, "after") else 0)
        for i in range(4)
        for w in ("before", "after")
    ]
    del seen[:]
    loss_net.backward(end="double")
    assert [s[:2] for s in seen] == [
        (f"{w}_backward", i) for i in (3, 2, 1) for w in ("before", "after")
    ]
    del seen[:]
    loss = loss_net.forward_backward()  # the solver's pass
    assert loss == 30
    assert len(seen) == 16
    assert seen[-1][:2] == ("after_backward", 0)


def test_a_callback_changes_what_a_layer_sees(loss_net):
    loss_net.after_forward(lambda i: loss_net.blobs["y"].data.fill(5) if i == 1 else None)
    assert loss_net.forward()["loss"] == 10


def test_layers_as_pycaffe_shows_them(files):
    net = caffe.Net(*files, caffe.TEST)
    conv = net.layers[1]
    assert conv.type == "Convolution"
    assert conv.blobs[1] is net.params["conv"][1]
    assert net.layers[1] is conv
    top = caffe.Net(*files, caffe.TEST).blobs["conv"]
    net.blobs["data"].reshape(1, 3, 9, 6)
    conv.reshape([net.blobs["data"]], [top])
    assert top.shape == (1, 2, 7, 4)
    weights = conv.blobs[0].data.copy()
    conv.setup([net.blobs["data"]], [top])
    np.testing.assert_array_equal(net.params["conv"][0].data, weights)


def test_all_inputs_or_none(tmp_path):
    (tmp_path / "two.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "a" top: "b" input_param {'
        " shape { dim: 2 dim: 1 } } }"
        'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "c" }'
        'layer { name: "p" type: "Power" bottom: "c" top: "d" }'
    )
    net = caffe.Net(str(tmp_path / "two.prototxt"), caffe.TEST)
    assert net.forward(a=np.ones((2, 1)), b=np.ones((2, 1)))["d"].tolist() == [[2], [2]]
    assert net.forward()["d"].tolist() == [[2], [2]]
    with pytest.raises(
        caffe.CaffeError, match="expected the inputs a, b; got a: give all, or none"
    ):
        net.forward(a=np.ones((2, 1)))
    with pytest.raises(caffe.CaffeError, match=r"input 'a' holds \(2, 1\), the array is \(3, 1\)"):
        net.forward(a=np.ones((3, 1)), b=np.ones((2, 1)))
    with pytest.raises(caffe.CaffeError, match=r"input 'a' holds \(2, 1\), the array is \(2, 5\)"):
        net.forward(a=np.ones((2, 5)), b=np.ones((2, 1)))
    with pytest.raises(caffe.CaffeError, match="expected the outputs d; got c"):
        net.backward(c=np.ones((2, 1)))


def test_a_single_layer_runs_alone(files):
    """One layer runs forward, one backward, from what was written into its blobs; no other runs."""
    net = caffe.Net(*files, caffe.TEST)
    rng = np.random.default_rng(0)
    conv, fc = net.blobs["conv"], net.blobs["fc"]
    conv.data[...] = rng.random(conv.shape)
    weights, bias = (blob.data for blob in net.params["fc"])
    np.testing.assert_allclose(
        net.forward(start="fc", end="fc")["fc"],
        conv.data.reshape(4, -1) @ weights.T + bias,
        rtol=1e-4,
    )
    fc.diff[...] = rng.random(fc.shape)
    back = net.backward(start="fc", end="fc")
    np.testing.assert_allclose(back["conv"], (fc.diff @ weights).reshape(conv.shape), rtol=1e-4)
    np.testing.assert_allclose(
        net.params["fc"][0].diff, fc.diff.T @ conv.data.reshape(4, -1), rtol=1e-4
    )


def test_a_blob_reshaped_by_hand_gets_its_layers_shape_back(files):
    net = caffe.Net(*files, caffe.TEST)
    for run in (net.reshape, net.backward, net.forward):
        net.blobs["fc"].reshape(7, 7)
        run()
        assert net.blobs["fc"].shape == (4, 5)
        assert net.blobs["prob"].shape == (4, 5)


def test_a_test_nets_blobs_hold_the_last_batch(tmp_path):
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 }'
        ' data_filler { type: "gaussian" } } }'
        'layer { name: "y" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }'
        'layer { name: "ip" type: "Scale" bottom: "y" top: "z"'
        " scale_param { axis: 0 num_axes: 0 } }"
        'layer { name: "loss" type: "Reduction" bottom: "z" top: "loss" loss_weight: 1 }'
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" test_iter: 2 test_interval: 1 base_lr: 0'
        f' lr_policy: "fixed"'
        f' snapshot_prefix: "{tmp_path}/s"'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.step(1)
    (net,) = solver.test_nets
    assert net.blobs["x"].data.any()
    np.testing.assert_allclose(net.blobs["y"].data, 2 * net.blobs["x"].data)
    np.testing.assert_allclose(net.blobs["loss"].data, net.blobs["y"].data.sum(), rtol=1e-5)
    net.backward()
    np.testing.assert_allclose(net.params["ip"][0].diff, net.blobs["y"].data.sum(), rtol=1e-5)


def test_blobs_outlive_their_net(files):
    net = caffe.Net(*files, caffe.TEST)
    held = [*net.blobs.values(), *net.params["fc"]]
    del net
    assert np.isfinite(sum(float(blob.data.sum() + blob.diff.sum()) for blob in held))
