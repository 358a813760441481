"""The nets and solvers in CNN/: the original's values, and nets that agree with each other."""

import hashlib
import sys
from pathlib import Path

import pytest

import caffe
from caffe import prototxt
from caffe.net_parameter import filter_net
from caffe.proto import caffe_pb2
from texttopicnet import embeddings
from texttopicnet.errors import UserError

CNN = Path(__file__).resolve().parents[1] / "CNN"
# SHA-256 of each variant's prototxt without its include rules, as it was before the variants became
# stages of one train_val.prototxt
DIGESTS = {
    ("CaffeNet", ""): "10132b4de90d8580ab5b1909c292c4a1d79e0883b4dd76089b0d4094f470ae47",
    ("CaffeNet", "euclidean"): "4495b564d617e9be6d1bfc6741e75ab6ad32529c2dd99308fed3a8d363cae621",
    ("CaffeNet", "python"): "43b91fdad09a2287e995b89a22a4d490b67faefd42276290a22dcf793c192866",
    ("CaffeNetSample", ""): "92976b28e8c9884d2a7f8bd46a58b9110f4e611d6a01ad27cf6620ed31d7f733",
    (
        "CaffeNetSample",
        "euclidean",
    ): "89dc010cbb594bff2cbd6bc3aa782c44305c684d7ae6be1dafbb4d5d8bb9dcfd",
}
DEPLOY_DIGESTS = {
    "CaffeNet": "38a100b9f736131105af7ed314039346a9837180ba76ff0c6629665972e180ad",
    "CaffeNetSample": "7105272f025dde89687e41b98c989000db7d12c544794b165b92a43128af1691",
}
# layer: outputs, kernel, stride, pad, group, std of the weights, value of the biases; of the
# original's train_val.prototxt
CONVOLUTIONS = {
    "conv1": (96, 11, 4, 0, 1, 0.01, 0),
    "conv2": (256, 5, 1, 2, 2, 0.01, 1),
    "conv3": (384, 3, 1, 1, 1, 0.01, 0),
    "conv4": (384, 3, 1, 1, 2, 0.01, 1),
    "conv5": (256, 3, 1, 1, 2, 0.01, 1),
}
INNER_PRODUCTS = {"fc6": (4096, 0.005, 1), "fc7": (4096, 0.005, 1), "fc8": (40, 0.01, 0)}
FOLDERS = sorted(path.parent.name for path in CNN.glob("*/deploy.prototxt"))
FINE_TUNED = {  # folder: the net that is fine-tuned, the new layer, its outputs
    "finetune_voc2007": ("CaffeNet", "fc8_voc2007", 20),
    "finetune_voc2007_sample": ("CaffeNetSample", "fc8_voc2007", 20),
    "finetune_classes": ("CaffeNet", "fc8_classes", 10),
    "finetune_classes_6": ("CaffeNet6", "fc8_classes", 10),
    "finetune_classes_sample": ("CaffeNetSample", "fc8_classes", 10),
}
ORDER = (
    "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
    " fc6 relu6 drop6 fc7 relu7 drop7 fc8"
)


def training_net(net, *stages):
    """train_val.prototxt as a solver with these stages in its train_state sees it."""
    param = prototxt.read_net(CNN / net / "train_val.prototxt")
    param.state.phase = caffe_pb2.TRAIN
    param.state.stage.extend(stages)
    found = filter_net(param, net)
    found.ClearField("state")
    return found


def layers(net):
    return {layer.name: layer for layer in net.layer}


def deploy_net(net):
    return prototxt.read_net(CNN / net / "deploy.prototxt")


def digest(net):
    for layer in net.layer:
        layer.ClearField("include")
    return hashlib.sha256(prototxt.to_text(net).encode()).hexdigest()


@pytest.mark.parametrize(("net", "stage"), DIGESTS)
def test_each_stage_is_the_net_that_had_a_file_of_its_own(net, stage):
    """Caffe itself adds the empty stage when `caffe train` gets no -stage."""
    assert digest(training_net(net, "", stage)) == DIGESTS[net, stage]


@pytest.mark.parametrize("net", DEPLOY_DIGESTS)
def test_deploy_is_unchanged(net):
    assert digest(deploy_net(net)) == DEPLOY_DIGESTS[net]


def test_the_written_files_are_up_to_date(load_script, monkeypatch, tmp_path, capsys):
    script = load_script("CNN/write_prototxts.py")
    monkeypatch.setattr(sys, "argv", ["x", "--check"])
    assert script.main() == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 * len(FOLDERS)
    monkeypatch.setattr(script, "HERE", tmp_path)
    with pytest.raises(
        UserError, match=r"train_val\.prototxt is out of date: write it with python"
    ):
        script.main()
    monkeypatch.setattr(sys, "argv", ["x"])
    assert script.main() == 0
    for net in FOLDERS:
        for name in ("train_val", "deploy"):
            written = tmp_path / net / f"{name}.prototxt"
            assert written.read_bytes() == (CNN / net / written.name).read_bytes()


@pytest.mark.parametrize("stages", [[], ["python"]])
def test_caffenet_has_the_originals_values(stages):
    found = layers(training_net("CaffeNet", *stages))
    assert [n for n in found if n not in ("data", "label")] == [*ORDER.split(), "loss"]
    for layer, values in CONVOLUTIONS.items():
        p = found[layer].convolution_param
        stride, pad = (list(v) or [d] for v, d in ((p.stride, 1), (p.pad, 0)))
        assert (
            p.num_output,
            *p.kernel_size,
            *stride,
            *pad,
            p.group,
            round(p.weight_filler.std, 6),
            p.bias_filler.value,
        ) == values
        assert p.weight_filler.type == "gaussian"
        assert p.bias_filler.type == "constant"
    for layer, values in INNER_PRODUCTS.items():
        p = found[layer].inner_product_param
        assert (p.num_output, round(p.weight_filler.std, 6), p.bias_filler.value) == values
    for layer in (*CONVOLUTIONS, *INNER_PRODUCTS):
        assert [(p.lr_mult, p.decay_mult) for p in found[layer].param] == [(1, 1), (2, 0)]
    for pool in ("pool1", "pool2", "pool5"):
        p = found[pool].pooling_param
        assert (p.pool, p.kernel_size, p.stride) == (caffe_pb2.PoolingParameter.MAX, 3, 2)
    for norm in ("norm1", "norm2"):
        p = found[norm].lrn_param
        assert (p.local_size, round(p.alpha, 8), p.beta) == (5, 0.0001, 0.75)
    assert found["loss"].type == "SigmoidCrossEntropyLoss"
    assert list(found["loss"].bottom) == [
        "fc8",
        "label",
    ]


@pytest.mark.parametrize("net", ["CaffeNet", "CaffeNet6", "CaffeNetSample"])
def test_signed_targets_change_the_loss_and_nothing_else(net):
    """EuclideanLoss takes any bottoms of one count; fc8 is what deploy.prototxt computes in front
    of its sigmoid.
    """
    usual, signed = training_net(net), training_net(net, "euclidean")
    assert [layer.type for layer in usual.layer if layer.name == "loss"] == [
        "SigmoidCrossEntropyLoss"
    ]
    (loss,) = (layer for layer in signed.layer if layer.name == "loss")
    assert loss.type == "EuclideanLoss" == embeddings.BY_NAME["lsi"].loss
    loss.type = "SigmoidCrossEntropyLoss"
    assert digest(signed) == digest(usual)
    sigmoid = layers(deploy_net(net))["prob"]
    assert (
        list(sigmoid.bottom) == ["fc8"] != list(sigmoid.top)
    )  # not in place: extract_features.py can take fc8


@pytest.mark.parametrize(
    ("net", "stage"), [key for key in DIGESTS if key[1]], ids=lambda value: value
)
def test_a_variant_keeps_the_schedule(net, stage):
    usual, variant = (
        prototxt.read_solver(CNN / net / f"{name}.prototxt")
        for name in ("solver", f"solver_{stage}")
    )
    assert list(variant.train_state.stage) == [stage]
    assert variant.snapshot_prefix == f"{usual.snapshot_prefix}_{stage}"
    assert variant.base_lr < usual.base_lr or (net, stage) in (
        ("CaffeNet", "python"),
        ("CaffeNetSample", "euclidean"),
    )
    for p in (usual, variant):
        for field in ("train_state", "snapshot_prefix", "base_lr"):
            p.ClearField(field)
    assert variant == usual


@pytest.mark.parametrize("path", sorted(CNN.glob("*/solver*.prototxt")), ids=lambda p: p.name)
def test_solvers_have_plain_fields_that_bvlc_caffe_knows(path):
    """No net inside the solver, no field of this runtime's own; stages only in train_state."""
    p = prototxt.read_solver(path)
    assert p.net == "train_val.prototxt"
    assert not p.HasField("net_param")
    assert set(p.train_state.stage) <= {"euclidean", "python"}
    assert not p.test_state


@pytest.mark.parametrize("folder", FINE_TUNED)
def test_a_fine_tuned_net_is_the_trained_one_with_a_new_last_layer(folder):
    """All other layers keep name and shape, so that they take the trained net's weights."""
    net, last, count = FINE_TUNED[folder]
    found, trained = layers(training_net(folder)), layers(training_net(net))
    assert last not in trained
    assert found.pop(last).inner_product_param.num_output == count
    for name in trained.keys() - {"data", "label", "fc8", "loss"}:
        assert found[name] == trained[name]
    assert set(found) - {"label"} == set(trained) - {"fc8", "label"}
    assert list(layers(training_net(folder))[last].bottom) == ["fc7"]  # drop7 works in place
    deploy = layers(deploy_net(folder))
    assert deploy[last].inner_product_param.num_output == count
    kind = "Sigmoid" if last == "fc8_voc2007" else "Softmax"
    assert list(deploy.values())[-1].type == kind
    for field in ("crop_size", "mirror", "mean_value"):
        assert getattr(found["data"].transform_param, field) == getattr(
            trained["data"].transform_param, field
        )
    assert found["data"].data_param.batch_size == 16


@pytest.mark.parametrize("folder", ["finetune_voc2007", "finetune_voc2007_sample"])
def test_difficult_objects_have_no_loss(folder):
    loss = layers(training_net(folder))["loss"]
    assert (loss.type, loss.loss_param.ignore_label) == ("SigmoidCrossEntropyLoss", -1)


def test_the_solver_of_the_fine_tuning_on_voc2007():
    """philkr/voc-classification's values."""
    p = prototxt.read_solver(CNN / "finetune_voc2007" / "solver.prototxt")
    assert (p.base_lr, p.gamma, p.momentum, p.weight_decay, p.clip_gradients) == pytest.approx(
        (0.001, 0.5, 0.9, 1e-6, 10)
    )
    assert (p.lr_policy, p.stepsize, p.max_iter) == ("step", 10000, 80000)


def test_the_6_layer_net():
    """CaffeNet's conv3 to fc8 with its fillers; by hand, 85 pixels become 43, 21, 21, 10, 10, 5."""
    found, caffenet = layers(training_net("CaffeNet6")), layers(training_net("CaffeNet"))
    with_weights = [name for name, layer in found.items() if layer.param]
    assert with_weights == ["conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for name in with_weights:
        own, other = found[name], caffenet[name]
        for field in ("convolution_param", "inner_product_param"):
            a, b = getattr(own, field), getattr(other, field)
            a.ClearField("stride") if field == "convolution_param" else None
            assert a == b, name
    net = caffe.Net(str(CNN / "CaffeNet6" / "deploy.prototxt"), caffe.TEST)
    sides = [net.blobs[name].data.shape[-1] for name in ("conv3", "norm3", "conv4", "norm4")]
    assert sides == [43, 21, 21, 10]
    assert net.blobs["conv5"].data.shape[1:] == (256, 10, 10)
    assert net.blobs["pool5"].data.shape[1:] == (256, 5, 5)
    assert net.params["conv3"][0].data.shape == (384, 3, 3, 3)


def test_the_solver_has_the_originals_values():
    p = prototxt.read_solver(CNN / "CaffeNet" / "solver.prototxt")
    assert (p.base_lr, p.gamma, p.momentum, p.weight_decay) == pytest.approx(
        (0.001, 0.1, 0.9, 0.0005)
    )
    assert (p.lr_policy, p.stepsize, p.max_iter, p.snapshot) == ("step", 50000, 160000, 10000)
    assert not p.test_iter


@pytest.mark.parametrize("net", ["CaffeNet", "CaffeNet6", "CaffeNetSample"])
def test_deploy_is_the_trained_net(net):
    """The layers and parameter shapes are the same; Input comes first and the sigmoid last."""
    train, deploy = layers(training_net(net)), layers(deploy_net(net))
    for name, layer in train.items():
        for field in ("convolution_param", "inner_product_param", "pooling_param", "lrn_param"):
            if layer.HasField(field) and layer.type != "Data":
                a, b = caffe_pb2.LayerParameter(), caffe_pb2.LayerParameter()
                getattr(a, field).CopyFrom(getattr(layer, field))
                getattr(b, field).CopyFrom(getattr(deploy[name], field))
                for p in (a, b):
                    for filler in ("weight_filler", "bias_filler"):
                        if field in ("convolution_param", "inner_product_param"):
                            getattr(p, field).ClearField(filler)
                assert a == b, name
    crop = train["data"].transform_param.crop_size
    assert list(deploy["data"].input_param.shape[0].dim)[1:] == [3, crop, crop]
    last = list(deploy.values())[-1]
    assert (last.type, last.name, list(last.top)) == ("Sigmoid", "prob", ["prob"])


def test_the_samples_net_has_caffenets_layer_types():
    kinds = [
        [layer.type for layer in training_net(name).layer]
        for name in ("CaffeNet", "CaffeNetSample")
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    "path", sorted(CNN.glob("*/solver*.prototxt")), ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_solvers_name_nets_that_exist(path):
    p = prototxt.read_solver(path)
    assert (path.parent / p.net).is_file()
    assert (path.parent / p.snapshot_prefix).parent.is_dir()
    assert p.max_iter % max(p.snapshot, 1) == 0
    assert p.max_iter % max(p.display, 1) == 0
