"""caffe export: ONNX files that onnxruntime computes as the runtime does, and state_dicts."""

import math

import numpy as np
import pytest
import torch

import caffe
from caffe import cli, export_layers, export_names, export_onnx, prototxt
from caffe.proto import caffe_pb2

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install '.[export]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


def layer(kind, bottoms, top, settings="", name=""):
    """A layer as prototxt; it is named like its top, unless it works in place."""
    names = "".join(f' bottom: "{b}"' for b in bottoms.split())
    tops = "".join(f' top: "{t}"' for t in top.split())
    name = name or (f"{top}_{kind}" if bottoms == top else top.partition(" ")[0])
    return f'layer {{ name: "{name}" type: "{kind}"{names}{tops} {settings} }}\n'


def inputs(*shapes):
    rows = []
    for i, shape in enumerate(shapes):
        dims = "".join(f" dim: {d}" for d in shape)
        name = "data" if i == 0 else f"data{i}"
        rows.append(layer("Input", "", name, f"input_param {{ shape {{{dims} }} }}"))
    return "".join(rows)


def conv(bottom, top, outputs, kernel, more="", act="ReLU"):
    settings = f"num_output: {outputs} kernel_size: {kernel} {more}"
    rows = layer("Convolution", bottom, top, f"convolution_param {{ {settings} }}")
    return rows + (layer(act, top, top) if act else "")


def pool(bottom, top, kernel, stride, more=""):
    settings = f"kernel_size: {kernel} stride: {stride} {more}"
    return layer("Pooling", bottom, top, f"pooling_param {{ {settings} }}")


def ip(bottom, top, outputs, more=""):
    settings = f"num_output: {outputs} {more}"
    return layer("InnerProduct", bottom, top, f"inner_product_param {{ {settings} }}")


def normed(bottom, top, outputs, kernel, more="", relu=True):
    """A convolution with BatchNorm and Scale in place."""
    rows = conv(bottom, top, outputs, kernel, f"bias_term: false {more}", act="")
    rows += layer("BatchNorm", top, top) + layer(
        "Scale", top, top, "scale_param { bias_term: true }"
    )
    return rows + (layer("ReLU", top, top) if relu else "")


LENET = (
    inputs((3, 1, 28, 28))
    + layer("Power", "data", "scaled", "power_param { scale: 0.00390625 }")
    + conv("scaled", "conv1", 4, 5, act="")
    + pool("conv1", "pool1", 2, 2)
    + conv("pool1", "conv2", 6, 5, act="")
    + pool("conv2", "pool2", 2, 2)
    + ip("pool2", "ip1", 12)
    + layer("ReLU", "ip1", "ip1")
    + ip("ip1", "ip2", 10)
    + layer("Softmax", "ip2", "prob")
)
CAFFENET = (
    inputs((1, 3, 35, 35))
    + conv("data", "conv1", 6, 7, "stride: 2")
    + pool("conv1", "pool1", 3, 2)
    + layer("LRN", "pool1", "norm1", "lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 }")
    + conv("norm1", "conv2", 8, 5, "pad: 2 group: 2")
    + pool("conv2", "pool2", 2, 3)  # its last window lies across the border
    + layer("LRN", "pool2", "norm2", "lrn_param { norm_region: WITHIN_CHANNEL alpha: 0.1 }")
    + ip("norm2", "fc6", 12)
    + layer("ReLU", "fc6", "fc6")
    + layer("Dropout", "fc6", "fc6")
    + ip("fc6", "fc8", 10, "transpose: true")
    + layer("Softmax", "fc8", "prob")
)
GOOGLENET = (
    inputs((2, 3, 17, 20))
    + conv("data", "conv1", 6, 3, "stride: 2 pad: 1")
    + pool("conv1", "pool1", 3, 2)
    + conv("pool1", "a1", 4, 1)
    + conv("pool1", "b1", 3, 1)
    + conv("b1", "b3", 5, 3, "pad: 1")
    + pool("pool1", "c", 3, 1, "pad: 1")
    + layer("Concat", "a1 b3 c", "cat")
    + pool("cat", "pool4", 3, 2, "pool: AVE pad: 1")  # rounded up: its divisors differ
    + layer("Pooling", "pool4", "pool5", "pooling_param { pool: AVE global_pooling: true }")
    + layer("Dropout", "pool5", "pool5", "dropout_param { dropout_ratio: 0.4 }")
    + ip("pool5", "fc", 7)
    + layer("Softmax", "fc", "prob")
)
RESNET = (
    inputs((1, 3, 18, 18))
    + normed("data", "conv1", 6, 3, "pad: 1 stride: 2")
    + pool("conv1", "pool1", 3, 2)
    + normed("pool1", "branch1", 8, 1, relu=False)
    + normed("pool1", "a", 4, 1)
    + normed("a", "b", 4, 3, "pad: 1")
    + normed("b", "c", 8, 1, relu=False)
    + layer("Eltwise", "branch1 c", "res", "eltwise_param { operation: SUM coeff: 1 coeff: -0.5 }")
    + layer("ReLU", "res", "res")
    + pool("res", "pool5", 4, 1, "pool: AVE")
    + ip("pool5", "fc", 5)
    + layer("Softmax", "fc", "prob")
)
SQUEEZENET = (
    inputs((1, 3, 21, 21))
    + conv("data", "conv1", 6, 3, "stride: 2")
    + pool("conv1", "pool1", 3, 2)
    + conv("pool1", "fire/squeeze1x1", 3, 1)
    + conv("fire/squeeze1x1", "fire/expand1x1", 4, 1)
    + conv("fire/squeeze1x1", "fire/expand3x3", 4, 3, "pad: 1")
    + layer("Concat", "fire/expand1x1 fire/expand3x3", "fire/concat")
    + conv("fire/concat", "conv10", 5, 1)
    + layer("Pooling", "conv10", "pool10", "pooling_param { pool: AVE global_pooling: true }")
    + layer("Softmax", "pool10", "prob")
)
FCN = (
    inputs((1, 3, 16, 18))
    + conv("data", "conv1", 4, 3, "pad: 10")
    + pool("conv1", "pool1", 2, 2)
    + conv("pool1", "conv2", 4, 3, "pad: 1")
    + pool("conv2", "pool2", 2, 2)
    + conv("pool2", "fc6", 6, 3)
    + layer("Dropout", "fc6", "fc6")
    + conv("fc6", "score_fr", 3, 1, act="")
    + layer(
        "Deconvolution",
        "score_fr",
        "up2",
        "convolution_param { num_output: 3 kernel_size: 4 stride: 2 bias_term: false }",
    )
    + conv("pool1", "score_pool1", 3, 1, act="")
    + layer("Crop", "score_pool1 up2", "score_pool1c", "crop_param { axis: 2 offset: 1 }")
    + layer("Eltwise", "up2 score_pool1c", "fuse", "eltwise_param { operation: SUM }")
    + layer(
        "Deconvolution",
        "fuse",
        "up1",
        "convolution_param { num_output: 3 group: 3 kernel_size: 4 stride: 2 }",
    )
    + layer("Crop", "up1 data", "score", "crop_param { axis: 2 offset: 4 offset: 3 }")
    + layer("ArgMax", "score", "classes", "argmax_param { axis: 1 }")
)
MTCNN = (
    inputs((1, 3, 25, 25))
    + conv("data", "conv1", 5, 3, act="PReLU")
    + pool("conv1", "pool1", 3, 2)
    + conv("pool1", "conv2", 6, 3, act="PReLU")
    + pool("conv2", "pool2", 3, 2)
    + layer("Flatten", "pool2", "flat")
    + ip("flat", "fc", 8)
    + layer("PReLU", "fc", "fc", "prelu_param { channel_shared: true }")
    + ip("fc", "conv5-1", 2)
    + ip("fc", "conv5-2", 4)
    + layer("Softmax", "conv5-1", "prob1")
)
MOBILENET = (
    inputs((1, 3, 20, 20))
    + normed("data", "conv1", 4, 3, "pad: 1 stride: 2")
    + normed("conv1", "conv2_1/dw", 4, 3, "pad: 1 group: 4")
    + normed("conv2_1/dw", "conv2_1/sep", 8, 1)
    + layer("Pooling", "conv2_1/sep", "pool6", "pooling_param { pool: AVE global_pooling: true }")
    + layer("Reshape", "pool6", "flat", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }")
    + layer("Scale", "flat", "scaled", "scale_param { axis: 2 bias_term: true }")
    + layer("Bias", "scaled", "shifted", "bias_param { axis: 1 num_axes: 1 }")
    + layer("Softmax", "shifted", "prob", "softmax_param { axis: 2 }")
)
SIAMESE = (
    inputs((2, 4, 12, 12), (2, 6))
    + layer("Slice", "data", "a b", "slice_param { slice_point: 1 }")
    + layer("Slice", "b", "c d", "slice_param { slice_point: 2 }")
    + conv("a", "fa", 3, 3, act="TanH")
    + conv("d", "fd", 3, 3, act="Sigmoid")
    + layer("Eltwise", "fa fd", "most", "eltwise_param { operation: MAX }")
    + layer("Eltwise", "fa fd", "product", "eltwise_param { operation: PROD }")
    + layer("MVN", "c", "normed")
    + layer("SPP", "normed", "pyramid", "spp_param { pyramid_height: 2 }")
    + layer("ReLU", "pyramid", "pyramid", "relu_param { negative_slope: 0.1 }")
    + layer("Concat", "most product", "both")
    + layer("ELU", "both", "both", "elu_param { alpha: 0.5 }")
    + layer("Scale", "both data1", "weighted", "scale_param { axis: 0 }")
    + layer("Reduction", "both", "sums", "reduction_param { operation: ASUM axis: 2 coeff: 0.1 }")
    + layer("Tile", "sums", "tiled", "tile_param { axis: 1 tiles: 2 }")
    + layer("Power", "tiled", "powered", "power_param { power: 2 scale: 0.5 shift: 1 }")
    + layer("Log", "powered", "logs", "log_param { shift: 1 }")
)
CAPTIONS = (
    inputs((2, 3), (2, 3))
    + layer("Embed", "data", "words", "embed_param { input_dim: 9 num_output: 5 }")
    + layer("LSTM", "words data1", "lstm", "recurrent_param { num_output: 4 }")
    + layer("RNN", "lstm data1", "rnn", "recurrent_param { num_output: 3 }")
    + ip("rnn", "scores", 9, "axis: 2")
    + layer("Softmax", "scores", "prob", "softmax_param { axis: 2 }")
)
NETS = {
    "LeNet": (LENET, True),
    "CaffeNet": (CAFFENET, True),
    "GoogLeNet": (GOOGLENET, True),
    "ResNet": (RESNET, True),
    "SqueezeNet": (SQUEEZENET, True),
    "FCN": (FCN, True),
    "MTCNN": (MTCNN, True),
    "MobileNet": (MOBILENET, True),
    "siamese": (SIAMESE, True),
    "captions": (CAPTIONS, False),
}


def made(text, name="net"):
    """A net in TEST whose parameters are random numbers that keep values near 1."""
    param = prototxt.parse(f'name: "{name}" ' + text, caffe_pb2.NetParameter())
    net, rng = caffe.Net(param, caffe.TEST), np.random.default_rng(0)
    for node in net.nodes:
        for i, blob in enumerate(node.layer.blobs):
            fan = max(1, math.prod(blob.shape[1:]))
            blob.data[...] = rng.normal(0, 1 / np.sqrt(fan), blob.shape)
            if node.layer.type == "BatchNorm":
                blob.data[...] = (rng.normal(0, 1, blob.shape), rng.uniform(1, 2, blob.shape), 2)[i]
    return net


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", NETS)
def test_onnxruntime_computes_what_the_runtime_does(name, tmp_path):
    """On inputs of our own, in the net's batch and in another one if the net allows that."""
    text, any_batch = NETS[name]
    exported = export_onnx.export_onnx(made(text, name), tmp_path / "net.onnx")
    assert exported.any_batch == any_batch
    assert exported.batches == ([1, 2] if any_batch else [2])
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    session, rng = session_of(tmp_path / "net.onnx"), np.random.default_rng(1)
    for batch in (1, 5) if any_batch else (2,):
        net = made(text, name)
        fed = {}
        for blob in net.input_blobs:
            blob.reshape(batch, *blob.shape[1:])
            values = rng.normal(0, 1, blob.shape)
            if name == "captions":
                values = rng.integers(0, 9, blob.shape) if blob.name == "data" else values > 0
            fed[blob.name] = values.astype(np.float32)
        net.reshape()
        ours = net.forward(**fed)
        assert [o.name for o in session.get_outputs()] == net.outputs
        for output, theirs in zip(net.outputs, session.run(net.outputs, fed), strict=True):
            assert theirs.shape == ours[output].shape
            np.testing.assert_allclose(theirs, ours[output], rtol=1e-4, atol=1e-5)


def test_poolings_by_hand(tmp_path):
    """Sizes are rounded up, and AVE divides by the part of the window inside the padded bottom."""
    text = (
        inputs((1, 1, 3, 3))
        + pool("data", "max", 2, 2)
        + pool("data", "ave", 2, 2, "pool: AVE")
        + pool("data", "padded", 2, 2, "pool: AVE pad: 1")
    )
    export_onnx.export_onnx(made(text), tmp_path / "net.onnx")
    x = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    ave, most, padded = session_of(tmp_path / "net.onnx").run(None, {"data": x})
    assert most.tolist() == [[[[5, 6], [8, 9]]]]
    assert ave.tolist() == [[[[3, 4.5], [7.5, 9]]]]
    assert padded.tolist() == [[[[0.25, 1.25], [2.75, 7]]]]


def test_the_last_of_equal_values_is_the_greatest(tmp_path):
    settings = "argmax_param { top_k: 3 out_max_val: true }"
    text = inputs((1, 5)) + layer("ArgMax", "data", "y", settings)
    export_onnx.export_onnx(made(text), tmp_path / "net.onnx")
    x = np.array([[2, 7, 2, 7, 1], [0, 0, 0, 0, 0]], np.float32)
    (y,) = session_of(tmp_path / "net.onnx").run(None, {"data": x})
    assert y.tolist() == [[[3, 1, 2], [7, 7, 2]], [[4, 3, 2], [0, 0, 0]]]


@pytest.fixture
def mixed_tf32():
    """A program whose convolutions and RNNs have different settings of TF32."""
    switches = torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    before = [switch.fp32_precision for switch in switches]
    for switch, precision in zip(switches, ("ieee", "tf32"), strict=True):
        switch.fp32_precision = precision
    yield switches
    torch.backends.cudnn.allow_tf32 = before[0] == "tf32"  # the old switch can be read again
    for switch, precision in zip(switches, before, strict=True):
        switch.fp32_precision = precision


def test_other_settings_of_tf32_stay(mixed_tf32, tmp_path):
    with pytest.raises(RuntimeError, match="different TF32 flags"):
        torch.backends.cudnn.allow_tf32  # noqa: B018  (the exporter reads it)
    net = made(inputs((1, 1, 3, 3)) + pool("data", "max", 2, 2))
    export_onnx.export_onnx(net, tmp_path / "net.onnx")
    assert [switch.fp32_precision for switch in mixed_tf32] == ["ieee", "tf32"]


def test_the_file_has_the_names_of_blobs_and_layers(tmp_path):
    net = made(SQUEEZENET, "SqueezeNet")
    export_onnx.export_onnx(net, tmp_path / "net.onnx", opset=18)
    model = onnx.load(tmp_path / "net.onnx")
    assert model.graph.name == "SqueezeNet"
    names = [node.name for node in model.graph.node]
    assert {"conv1", "pool1", "fire/squeeze1x1", "conv10", "prob"} <= set(names)
    assert len(set(names)) == len(names)
    assert not any(node.metadata_props for node in model.graph.node)  # paths of this machine
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 18
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    expected = export_names.state_dict(net)
    assert set(expected) <= set(weights)
    for key, value in expected.items():
        assert np.array_equal(weights[key], value)
    (data,) = model.graph.input
    assert data.name == "data"
    dims = data.type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, 21, 21]


def test_inputs_that_are_overwritten_or_not_read(tmp_path):
    """An input in place, and one that no layer reads and so is no output."""
    power = layer("Power", "data", "data", "power_param { scale: 2 }")
    text = inputs((1, 3), (1, 2)) + power + layer("AbsVal", "data", "y")
    exported = export_onnx.export_onnx(made(text), tmp_path / "net.onnx")
    assert list(exported.inputs) == ["data", "data1"]
    assert list(exported.outputs) == ["y"]
    fed = {"data": np.array([[1, -2, 3]], np.float32), "data1": np.zeros((1, 2), np.float32)}
    (y,) = session_of(tmp_path / "net.onnx").run(None, fed)
    assert y.tolist() == [[2, 4, 6]]


def test_a_reshape_that_fixes_the_batch(tmp_path):
    text = inputs((2, 6)) + layer(
        "Reshape", "data", "y", "reshape_param { shape { dim: 2 dim: 3 dim: 2 } }"
    )
    exported = export_onnx.export_onnx(made(text), tmp_path / "net.onnx")
    assert not exported.any_batch
    assert exported.inputs == {"data": (2, 6)}
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    (y,) = session_of(tmp_path / "net.onnx").run(None, {"data": x})
    assert np.array_equal(y, x.reshape(2, 3, 2))


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            layer(
                "MemoryData",
                "",
                "x t",
                "memory_data_param { batch_size: 1 channels: 1 height: 1 width: 1 }",
            )
            + layer("Silence", "t", ""),
            "layer 'x' (MemoryData): reads data, so it cannot be exported; give the net's deploy",
        ),
        (
            inputs((2, 3), (2,)) + layer("SoftmaxWithLoss", "data data1", "l"),
            "layer 'l' (SoftmaxWithLoss): is for training or scoring, so it cannot be exported",
        ),
        (
            inputs((2, 3), (2,)) + layer("Accuracy", "data data1", "a"),
            "layer 'a' (Accuracy): is for training or scoring",
        ),
        (
            inputs((2, 3), (2,)) + layer("Filter", "data data1", "f"),
            "layer 'f' (Filter): gives as many items as its data decide, so it cannot be exported",
        ),
        (layer("Parameter", "", "p", "parameter_param { shape { dim: 1 } }"), "has no Input layer"),
        (inputs((1, 2)), "has no layer that computes an output"),
        (layer("Input", "", "x"), "input 'x' has the shape (); give one, such as -shape x:"),
    ],
)
def test_a_layer_that_cannot_be_exported(text, sentence, tmp_path):
    net = made(text)
    with pytest.raises(caffe.CaffeError) as caught:
        export_onnx.export_onnx(net, tmp_path / "net.onnx")
    assert sentence in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_every_layer_type_is_exported_or_refused():
    """A new type must be thought of: it is in a net of these tests, or here, or refused."""
    refused = {kind for kinds in export_layers.REFUSED.values() for kind in kinds}
    covered = set()
    for text, _ in NETS.values():
        param = prototxt.parse(text, caffe_pb2.NetParameter())
        covered |= {found.type for found in param.layer}
    others = {"AbsVal", "BNLL", "BatchReindex", "Clip", "Exp", "LSTMUnit", "Parameter", "Silence"}
    others |= {"Split", "Swish", "Threshold"}
    found = {
        kind
        for kind in caffe.layer_type_list()
        if not caffe.layer.layer_class(kind).is_loss
        and caffe.layer.layer_class(kind).__module__.startswith("caffe.layers.")
    }
    assert found == covered | others | refused


def test_a_difference_is_refused(tmp_path, monkeypatch):
    """As if onnxruntime computed something else: nothing is written, and the output is named."""
    net = made(inputs((1, 2)) + layer("ReLU", "data", "y"))
    monkeypatch.setitem(export_layers._MAKERS, "ReLU", lambda _, x: x + 1)
    with pytest.raises(caffe.CaffeError, match="output 'y' differs by 1 in ONNX"):
        export_onnx.export_onnx(net, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_libraries(tmp_path, monkeypatch):
    net = made(inputs((1, 2)) + layer("ReLU", "data", "y"))
    find = export_onnx.importlib.util.find_spec
    missing = {"onnxruntime"}
    monkeypatch.setattr(
        export_onnx.importlib.util, "find_spec", lambda n: None if n in missing else find(n)
    )
    exported = export_onnx.export_onnx(net, tmp_path / "net.onnx")
    assert exported.batches == []
    missing.add("onnx")
    with pytest.raises(caffe.CaffeError, match=r"needs onnx, .*: pip install '\.\[export\]'"):
        export_onnx.export_onnx(net, tmp_path / "net.onnx")


# -------------------------------------------------------------------------------------- state_dict


def test_a_state_dict_in_torchs_layout(tmp_path):
    """torch's own modules compute with it what the runtime computes."""
    net = made(RESNET)
    torch.save(export_names.state_dict(net), tmp_path / "w.pt")
    weights = torch.load(tmp_path / "w.pt", weights_only=True)
    assert list(weights)[:5] == [
        "conv1.weight",
        "conv1_BatchNorm.running_mean",
        "conv1_BatchNorm.running_var",
        "conv1_Scale.weight",
        "conv1_Scale.bias",
    ]
    conv1 = torch.nn.Conv2d(3, 6, 3, 2, 1, bias=False)
    conv1.load_state_dict({"weight": weights["conv1.weight"]})
    norm = torch.nn.BatchNorm2d(6, eps=1e-5).eval()
    part = {key: weights[f"conv1_BatchNorm.{key}"] for key in ("running_mean", "running_var")}
    part |= {key: weights[f"conv1_Scale.{key}"] for key in ("weight", "bias")}
    norm.load_state_dict(part, strict=False)
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 18, 18)).astype(np.float32)
    ours = net.forward(blobs=["conv1"], data=x)["conv1"]
    theirs = torch.relu(norm(conv1(torch.from_numpy(x)))).detach()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_transposed_product_and_an_lstm(tmp_path):
    text = inputs((4, 2, 3), (4, 2)) + layer(
        "LSTM", "data data1", "h", "recurrent_param { num_output: 5 }"
    )
    net = made(text + ip("h", "y", 2, "axis: 2 transpose: true"))
    weights = export_names.state_dict(net)
    lstm = torch.nn.LSTM(3, 5)
    names = {key: value for key, value in weights.items() if key.startswith("h.")}
    lstm.load_state_dict({key.partition(".")[2]: value for key, value in names.items()})
    linear = torch.nn.Linear(5, 2)
    linear.load_state_dict({key: weights[f"y.{key}"] for key in ("weight", "bias")})
    x = np.random.default_rng(2).normal(0, 1, (4, 2, 3)).astype(np.float32)
    cont = np.ones((4, 2), np.float32)
    ours = net.forward(data=x, data1=cont)["y"]
    theirs = linear(lstm(torch.from_numpy(x))[0]).detach()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_shared_parameters_stay_shared():
    weight = "param { name: 'w' } param { name: 'b' }"
    text = inputs((1, 3)) + ip("data", "a", 3).replace("inner_", f"{weight} inner_")
    net = made(text + ip("a", "b", 3).replace("inner_", f"{weight} inner_"))
    weights = export_names.state_dict(net)
    assert list(weights) == ["a.weight", "a.bias", "b.weight", "b.bias"]
    assert weights["a.weight"] is weights["b.weight"]
    net.layers[1].blobs[0].data[...] = 5  # the export is a copy
    assert not (weights["a.weight"] == 5).any()


# ------------------------------------------------------------------------------------- the command


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(LENET)
    made(LENET).save("iter_7.caffemodel")
    words = ["export", "net.prototxt", "iter_7.caffemodel"]
    assert cli.main([*words, "-shape", "data:1,1,24,24"]) == 1
    assert "layer 'ip1'" in capsys.readouterr().err  # its weights are for 28 x 28
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert "inputs: data (batch, 1, 28, 28)" in text
    assert "compared with the runtime on random inputs (batch 1 and 2)" in text
    assert (tmp_path / "iter_7.onnx").is_file()
    assert cli.main(words) == 1
    assert "iter_7.onnx: exists already" in capsys.readouterr().err
    assert cli.main([*words, "-format", "pytorch"]) == 0
    assert len(torch.load("iter_7.pt", weights_only=True)) == 8
    assert cli.main([*words, "none/x.onnx"]) == 1
    assert "none/x.onnx: cannot be written; does the folder exist?" in capsys.readouterr().err
    assert cli.main(["export", "net.prototxt", "none.caffemodel", "x.onnx"]) == 1
    assert "none.caffemodel: No such file or directory" in capsys.readouterr().err
