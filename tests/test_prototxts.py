"""The nets and solvers in CNN/: the original's values, and nets that agree with each other."""

from pathlib import Path

import pytest

from caffe import prototxt
from caffe.proto import caffe_pb2
from texttopicnet import embeddings

CNN = Path(__file__).resolve().parents[1] / "CNN"
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
ORDER = (
    "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
    " fc6 relu6 drop6 fc7 relu7 drop7 fc8"
)


def layers(path):
    return {layer.name: layer for layer in prototxt.read_net(path).layer}


@pytest.mark.parametrize("name", ["train_val", "train_val_python"])
def test_caffenet_has_the_originals_values(name):
    found = layers(CNN / "CaffeNet" / f"{name}.prototxt")
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


@pytest.mark.parametrize("net", ["CaffeNet", "CaffeNetSample"])
def test_signed_targets_change_the_loss_and_nothing_else(net):
    """EuclideanLoss takes any bottoms of one count; fc8 is what deploy.prototxt computes in front
    of its sigmoid.
    """
    usual, signed = (
        prototxt.read_net(CNN / net / f"{name}.prototxt")
        for name in ("train_val", "train_val_euclidean")
    )
    assert [layer.type for layer in usual.layer if layer.name == "loss"] == [
        "SigmoidCrossEntropyLoss"
    ]
    (loss,) = (layer for layer in signed.layer if layer.name == "loss")
    assert loss.type == "EuclideanLoss" == embeddings.BY_NAME["lsi"].loss
    loss.type = "SigmoidCrossEntropyLoss"
    assert signed == usual
    sigmoid = layers(CNN / net / "deploy.prototxt")["prob"]
    assert (
        list(sigmoid.bottom) == ["fc8"] != list(sigmoid.top)
    )  # not in place: extract_features.py can take fc8


@pytest.mark.parametrize("net", ["CaffeNet", "CaffeNetSample"])
def test_signed_targets_keep_the_schedule(net):
    usual, signed = (
        prototxt.read_solver(CNN / net / f"{name}.prototxt")
        for name in ("solver", "solver_euclidean")
    )
    assert signed.net == "train_val_euclidean.prototxt"
    assert signed.snapshot_prefix == f"{usual.snapshot_prefix}_euclidean"
    assert signed.base_lr <= usual.base_lr
    for p in (usual, signed):
        p.ClearField("net"), p.ClearField("snapshot_prefix"), p.ClearField("base_lr")
    assert signed == usual


def test_the_solver_has_the_originals_values():
    p = prototxt.read_solver(CNN / "CaffeNet" / "solver.prototxt")
    assert (p.base_lr, p.gamma, p.momentum, p.weight_decay) == pytest.approx(
        (0.001, 0.1, 0.9, 0.0005)
    )
    assert (p.lr_policy, p.stepsize, p.max_iter, p.snapshot) == ("step", 50000, 160000, 10000)
    assert not p.test_iter


@pytest.mark.parametrize("net", ["CaffeNet", "CaffeNetSample"])
def test_deploy_is_the_trained_net(net):
    """Same layers, same shapes of parameters; Input in front, the sigmoid behind, no dropout
    needed.
    """
    train, deploy = layers(CNN / net / "train_val.prototxt"), layers(CNN / net / "deploy.prototxt")
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
        [layer.type for layer in layers(CNN / n / "train_val.prototxt").values()]
        for n in ("CaffeNet", "CaffeNetSample")
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize(
    "path", sorted(CNN.glob("*/solver*.prototxt")), ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_solvers_name_nets_that_are_there(path):
    p = prototxt.read_solver(path)
    assert (path.parent / p.net).is_file()
    assert (path.parent / p.snapshot_prefix).parent.is_dir()
    assert p.max_iter % max(p.snapshot, 1) == 0
    assert p.max_iter % max(p.display, 1) == 0
