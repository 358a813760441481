"""-precision: what each one changes, and where it is refused."""

import numpy as np
import pytest
import torch

import caffe
import caffe.cli
from caffe import precision
from caffe.proto import caffe_pb2

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "l" dummy_data_param {
  shape { dim: 4 dim: 3 dim: 10 dim: 10 } shape { dim: 4 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 777 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 8 kernel_size: 3 group: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "p" top: "n" lrn_param { local_size: 5 alpha: 0.5 } }
layer { name: "ip" type: "InnerProduct" bottom: "n" top: "h"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "h" top: "h" dropout_param { dropout_ratio: 0.25 } }
layer { name: "y" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 1000 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "l" top: "loss" }
"""


@pytest.fixture(autouse=True)
def later_nets_are_fp32():
    yield
    caffe.set_precision("fp32")


@pytest.fixture
def net_of(net_from):
    """net_of(precision, text): a net of that precision, always with the same weights and data."""

    def build(name, text=NET):
        caffe.set_precision(name)
        caffe.set_random_seed(1)
        return net_from(text)

    return build


def gradients(net):
    caffe.set_random_seed(2)
    loss = net.forward_backward()
    return float(loss), [p.blob.diff_tensor().clone() for p in net.learnable]


def test_bf16_is_close_to_fp32_but_not_equal(net_of):
    """bfloat16 has 8 bits, so each product is off by up to 0.4 %.

    Below the pooling layer some gradients go elsewhere: of two maxima that bfloat16 cannot tell
    apart, the first one counts.
    """
    text = NET.replace("dropout_ratio: 0.25", "dropout_ratio: 0")
    exact, found = gradients(net_of("fp32", text)), gradients(net_of("bf16", text))
    assert found[0] == pytest.approx(exact[0], rel=5e-3)
    assert found[0] != exact[0]
    below = 0.1
    limits = (below, below, 0.01, 0.01, 0.01, 0.01)
    for a, b, limit in zip(found[1], exact[1], limits, strict=True):
        assert float((a - b).norm()) < limit * float(b.norm())


def test_in_bf16_whatever_numpy_sees_is_float32(net_of):
    net = net_of("bf16")
    gradients(net)
    for blob in net.blobs.values():
        assert blob.data.dtype == blob.diff.dtype == np.float32
    for layer in net.layers:
        for blob in layer.blobs:
            assert blob.data.dtype == blob.diff.dtype == np.float32
    assert net.blobs["y"].data.shape == (4, 1000)
    assert all(node.scores is None or node.scores.dtype == torch.float32 for node in net.nodes)


def test_in_bf16_each_layer_gets_the_type_it_asks_for(net_of, monkeypatch):
    net = net_of("bf16")
    seen = {}
    for node in net.nodes:

        def spying(*bottoms, layer=node.layer, forward=node.layer.forward):
            seen[layer.name] = [tensor.dtype for tensor in (*bottoms, *layer.params)]
            return forward(*bottoms)

        monkeypatch.setattr(node.layer, "forward", spying)
    net.forward_backward()
    half, full = torch.bfloat16, torch.float32
    assert seen["conv"] == seen["ip"] == seen["y"] == [half] * 3
    assert seen["relu"] == seen["pool"] == seen["drop"] == [half]
    assert seen["norm"] == [full]
    # 777 is no bfloat16; a label that passed through one would be 776
    assert seen["loss"] == [full, full]
    assert net.blobs["l"].data[0] == 777


def test_the_indices_of_a_pooling_layer_stay_exact(net_of):
    text = """
layer { name: "data" type: "DummyData" top: "x" dummy_data_param {
  shape { dim: 1 dim: 3 dim: 40 dim: 40 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "c" top: "p" top: "index"
  pooling_param { pool: MAX kernel_size: 40 } }
"""
    net = net_of("bf16", text)
    net.forward_backward(backward=False)
    rows = net.blobs["c"].data.reshape(2, -1)
    index = net.blobs["index"].data.reshape(2).astype(int)
    np.testing.assert_array_equal(rows[[0, 1], index], rows.max(1))


def test_weights_and_history_stay_float32_in_a_training(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    trained = {}
    for name in ("fp32", "bf16"):
        caffe.set_precision(name)
        solver = caffe.get_solver(
            caffe_pb2.SolverParameter(
                net=str(tmp_path / "net.prototxt"),
                base_lr=0.01,
                momentum=0.9,
                lr_policy="fixed",
                random_seed=4,
            )
        )
        solver.net.keep_blobs = False
        solver.step(5)
        weights = [p.blob.tensor() for p in solver.net.learnable]
        assert {tensor.dtype for tensor in (*weights, *solver.updater.history)} == {torch.float32}
        trained[name] = torch.cat([tensor.reshape(-1) for tensor in solver.updater.history])
    difference = (trained["bf16"] - trained["fp32"]).norm() / trained["fp32"].norm()
    # the dropout masks differ, too: bfloat16 and float32 draw them differently
    assert float(difference) > 0
    assert torch.isfinite(trained["bf16"]).all()


def test_fp32_nets_do_not_change_with_the_precision_of_later_ones(net_of):
    first = net_of("fp32")
    net_of("bf16")
    assert gradients(first)[0] == gradients(net_of("fp32"))[0]


def test_auto_is_fp32_on_the_cpu(net_of):
    assert net_of("auto").precision == "fp32"


def test_tf32_is_refused_on_the_cpu(net_of):
    with pytest.raises(caffe.CaffeError, match=r"precision tf32 needs a GPU .* use fp32"):
        net_of("tf32")


def test_an_unknown_precision_is_refused():
    with pytest.raises(caffe.CaffeError, match="'half'"):
        caffe.set_precision("half")


def test_a_gpu_of_an_older_kind_is_refused_or_takes_fp32(monkeypatch):
    device = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    found = {}
    for capability in ((7, 0), (8, 0)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d, c=capability: c)
        for name in ("fp32", "tf32", "bf16", "auto"):
            monkeypatch.setitem(precision._state, "precision", name)
            try:
                found[capability[0], name] = precision.of_new_net(device)
            except caffe.CaffeError as error:
                found[capability[0], name] = str(error)
    assert found[7, "fp32"] == found[7, "auto"] == found[8, "fp32"] == "fp32"
    assert found[8, "tf32"] == found[8, "auto"] == "tf32"
    assert found[8, "bf16"] == "bf16"
    assert "Tesla V100" in found[7, "tf32"]
    assert "Tesla V100" in found[7, "bf16"]


SWITCHES = (
    torch.backends.cuda.matmul,
    torch.backends.cudnn.conv,
    torch.backends.cudnn.rnn,
)


@pytest.fixture
def users_switches():
    """A user's program that has asked for TF32 everywhere."""
    before = torch.backends.fp32_precision, [s.fp32_precision for s in SWITCHES]
    torch.backends.fp32_precision = "tf32"
    yield
    torch.backends.fp32_precision = before[0]
    for switch, value in zip(SWITCHES, before[1], strict=True):
        switch.fp32_precision = value


@pytest.mark.parametrize(("name", "wanted"), [("fp32", "ieee"), ("bf16", "ieee"), ("tf32", "tf32")])
def test_tf32_is_off_in_all_products_whatever_the_program_has_set(users_switches, name, wanted):
    precision.apply(torch.device("cuda", 0), name)
    assert [switch.fp32_precision for switch in SWITCHES] == [wanted] * 3


def test_the_old_switches_can_still_be_read(users_switches):
    """PyTorch refuses to read them if only some of the new ones have been set."""
    for switch in SWITCHES:
        switch.fp32_precision = "tf32"
    precision.apply(torch.device("cuda", 0), "fp32")
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is False


def test_on_the_cpu_no_switch_is_touched(users_switches):
    before = [switch.fp32_precision for switch in SWITCHES]
    precision.apply(torch.device("cpu"), "fp32")
    assert [switch.fp32_precision for switch in SWITCHES] == before


def test_the_command_line_names_the_precision_and_refuses_in_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    (tmp_path / "net.prototxt").write_text(NET)
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 2'
        f' snapshot_prefix: "{tmp_path}/s" snapshot_after_train: false'
    )
    assert caffe.cli.main(["train", "--solver", str(solver), "--precision", "bf16"]) == 0
    assert "Precision: bf16" in capfd.readouterr().err
    assert caffe.cli.main(["train", "-solver", str(solver)]) == 0
    assert "Precision: fp32" in capfd.readouterr().err
    for words, sentence in (
        (["train", "-solver", str(solver), "-precision", "tf32"], "needs a GPU"),
        (
            ["time", "-model", str(tmp_path / "net.prototxt"), "-precision", "bf16"],
            "layer by layer",
        ),
        (["train", "-solver", str(solver), "-precision", "fp64"], "fp64"),
    ):
        assert caffe.cli.main(words) != 0
        fatal = [line for line in capfd.readouterr().err.splitlines() if line.startswith("F")]
        assert len(fatal) == 1
        assert sentence in fatal[0]
