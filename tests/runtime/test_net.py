"""Nets: the recorded CaffeNet, both ways through a net, splits, rules, weights files."""

from pathlib import Path

import numpy as np
import pytest
import recorded

import caffe
from caffe import prototxt, snapshot
from caffe.proto import caffe_pb2

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def close(found, wanted, what="", rtol=1e-4):
    wanted = np.asarray(wanted)
    scale = np.abs(wanted).max() if wanted.size else 0
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-5 * max(1e-3, scale), err_msg=what)


def test_the_recorded_mini_net(golden, monkeypatch):
    """The data and diff of every blob, and every gradient, blob by blob and as one graph."""
    monkeypatch.chdir(golden / "train")
    arrays = np.load("forward_backward_batch0.npz")
    for whole_graph in (False, True):
        net = caffe.Net("train_val.prototxt", "init.caffemodel", caffe.TRAIN)
        if whole_graph:
            net.forward_backward()
        else:
            net.forward()
            net.backward()
        blobs = net.blobs
        for key in arrays:
            kind, name = key.split(".", 1)
            if kind == "data":
                close(blobs[name].data.reshape(arrays[key].shape), arrays[key], key)
            elif kind == "diff" and name not in ("data", "label"):
                close(blobs[name].diff.reshape(arrays[key].shape), arrays[key], key)
            elif kind == "grad":
                layer, index = name.rsplit(".", 1)
                close(net.params[layer][int(index)].diff, arrays[key], key)
        net.close()


def test_the_recorded_full_size_net(golden, tmp_path):
    """The recorded full-size CaffeNet, on the project's own deploy.prototxt with a loss."""
    net_param = prototxt.read_net(ROOT / "CNN" / "CaffeNet" / "deploy.prototxt")
    net_param.force_backward = True
    net_param.layer[0].input_param.shape[0].dim[0] = 4
    net_param.layer.add(
        name="label", type="Input", top=["label"]
    ).input_param.shape.add().dim.extend([4, 40])
    net_param.layer.add(
        name="loss", type="SigmoidCrossEntropyLoss", bottom=["fc8", "label"], top=["loss"]
    )
    path = tmp_path / "net.prototxt"
    path.write_text(prototxt.to_text(net_param))
    net = caffe.Net(str(path), caffe.TEST)
    r = np.random.RandomState(123)
    for name in LAYERS:
        weight, bias = net.params[name]
        std = np.sqrt(2 / np.prod(weight.shape[1:])) * (0.1 if name in ("conv1", "fc8") else 0.8)
        weight.data[...] = (r.standard_normal(weight.shape) * std).astype(np.float32)
        offset = 0.1 if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0
        bias.data[...] = (r.standard_normal(bias.shape) * 0.1 + offset).astype(np.float32)
    q = np.random.RandomState(5)
    mean = np.array([104.00699, 116.66877, 122.67892]).reshape(1, 3, 1, 1)
    x = q.randint(0, 256, (4, 3, 227, 227)).astype(np.float32) - mean
    y = q.dirichlet(np.full(40, 0.1), 4).astype(np.float32)
    net.blobs["data"].data[...] = x
    net.blobs["label"].data[...] = y
    arrays = np.load(golden / "ttn_full" / "golden.npz")
    net.forward()
    net.backward()
    close(net.blobs["loss"].data, arrays["loss"], "loss")
    for key in arrays:
        kind, _, rest = key.partition(".")
        if kind == "full" and rest == "prob":
            close(net.blobs["prob"].data, arrays[key], key)
        elif kind == "full" and rest.startswith("data."):
            close(net.blobs[rest[5:]].data, arrays[key], key)
        elif kind == "sample" and rest.split(".")[0] in ("data", "diff"):
            attribute, blob = rest.split(".", 1)
            if (
                f"sample_idx.{blob}" not in arrays
                or blob not in net.blobs
                or (attribute == "diff" and blob == "fc8")
            ):
                continue
            found = getattr(net.blobs[blob], attribute).reshape(-1)[arrays[f"sample_idx.{blob}"]]
            close(found, arrays[key], key, rtol=1e-3)
        elif kind == "norm" and rest.startswith("grad."):
            layer, index = rest[5:].rsplit(".", 1)
            diff = net.params[layer][int(index)].diff
            # 38 million squares are too many for float32
            close(np.linalg.norm(diff.astype(np.float64)), arrays[key], key)


SHARED_BLOB = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "Sigmoid" bottom: "x" top: "a" }
layer { name: "b" type: "Sigmoid" bottom: "a" top: "b" }
layer { name: "l1" type: "SigmoidCrossEntropyLoss" bottom: "a" bottom: "t" top: "l1" }
layer { name: "l2" type: "SigmoidCrossEntropyLoss" bottom: "b" bottom: "t" top: "l2"
  loss_weight: 0.5 }
"""


def test_splits_are_named_as_caffe_names_them(net_from):
    net = net_from("force_backward: true" + SHARED_BLOB)
    assert [n for n in net.blobs if "split" in n] == [
        "t_t_0_split_0",
        "t_t_0_split_1",
        "a_a_0_split_0",
        "a_a_0_split_1",
    ]
    assert list(net._layer_names) == ["x", "t", "t_t_0_split", "a", "a_a_0_split", "b", "l1", "l2"]


def test_both_ways_give_the_same(net_from):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((2, 3)).astype(np.float32), rng.random((2, 3)).astype(np.float32)
    diffs, losses = [], []
    for way in ("layers", "graph"):
        net = net_from(
            SHARED_BLOB.replace(
                '"Sigmoid" bottom: "x"',
                '"InnerProduct" inner_product_param { num_output: 3 } bottom: "x"',
            )
        )
        net.params["a"][0].data[...] = np.arange(9).reshape(3, 3) / 9
        net.blobs["x"].data[...], net.blobs["t"].data[...] = x, t
        if way == "layers":
            losses.append(net.run_layers(0, len(net.layers) - 1))
            net.backward()
        else:
            losses.append(float(net.forward_backward()))
        diffs.append(net.params["a"][0].diff.copy())
    np.testing.assert_allclose(diffs[0], diffs[1], rtol=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] == pytest.approx(
        float(net.blobs["l1"].data) + 0.5 * float(net.blobs["l2"].data)
    )


def test_views_are_live(net_from):
    net = net_from(SHARED_BLOB)
    out, x = net.blobs["b"].data, net.blobs["x"].data
    x[...] = 0
    net.forward()
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-0.5)))
    x[0] = 100
    net.forward()
    np.testing.assert_allclose(out[0], 1 / (1 + np.exp(-1.0)), rtol=1e-6)
    assert np.shares_memory(out, net.blobs["b"].data)


def test_diffs_add_up_until_cleared(net_from):
    net = net_from(
        SHARED_BLOB.replace(
            '"Sigmoid" bottom: "x"',
            '"InnerProduct" inner_product_param { num_output: 3 } bottom: "x"',
        )
    )
    net.blobs["x"].data[...] = 1
    net.forward()
    net.backward()
    once = net.params["a"][0].diff.copy()
    net.backward()
    np.testing.assert_allclose(net.params["a"][0].diff, 2 * once)
    net.clear_param_diffs()
    assert not net.params["a"][0].diff.any()


def test_rules_choose_layers(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
        layer { name: "train" type: "Sigmoid" bottom: "x" top: "a" include { phase: TRAIN } }
        layer { name: "staged" type: "Sigmoid" bottom: "x" top: "b"
          include { stage: "s" min_level: 2 } }
        layer { name: "other" type: "Sigmoid" bottom: "x" top: "c" exclude { phase: TRAIN }
          exclude { stage: "s" } }"""
    )

    def kept(phase, **state):
        names = caffe.Net(str(path), phase, **state)._layer_names
        return [n for n in names if n in ("train", "staged", "other")]

    assert kept(caffe.TRAIN) == ["train"]
    assert kept(caffe.TEST) == ["other"]
    assert kept(caffe.TEST, level=2, stages=["s"]) == ["staged"]
    assert kept(caffe.TEST, level=1, stages=["s"]) == []


@pytest.mark.parametrize("end", ["caffemodel", "caffemodel.h5"])
def test_weights_round_trip(golden, monkeypatch, tmp_path, end):
    monkeypatch.chdir(golden / "train")
    arrays = np.load("init.npz")
    net = caffe.Net("train_val_input.prototxt", f"init.{end}", caffe.TRAIN)
    path = str(tmp_path / f"again.{end}")
    net.save(path) if end == "caffemodel" else net.save_hdf5(path)
    again = caffe.Net("train_val_input.prototxt", path, caffe.TRAIN)
    for key in arrays:
        layer, index = key.rsplit(".", 1)
        np.testing.assert_array_equal(again.params[layer][int(index)].data, arrays[key])


def test_protobuf_itself_reads_what_is_written(net_from, tmp_path):
    net = net_from(
        'name: "N"'
        + SHARED_BLOB.replace(
            '"Sigmoid" bottom: "x"',
            '"InnerProduct" inner_product_param { num_output: 3 } bottom: "x"',
        )
    )
    net.save(str(tmp_path / "n.caffemodel"))
    message = caffe_pb2.NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
    assert message.name == "N"
    assert [layer.name for layer in message.layer] == list(net._layer_names)
    blobs = next(layer.blobs for layer in message.layer if layer.name == "a")
    assert list(blobs[0].shape.dim) == [3, 3]
    assert list(blobs[1].shape.dim) == [3]
    np.testing.assert_array_equal(
        np.array(blobs[0].data, np.float32).reshape(3, 3), net.params["a"][0].data
    )


IP = (
    'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
    " inner_product_param { num_output: %d } }"
)
X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'


def test_weights_of_another_shape_are_refused(net_from, tmp_path):
    path = str(tmp_path / "w.caffemodel")
    net_from(X + IP % 4).save(path)
    with pytest.raises(
        caffe.CaffeError,
        match=r"layer 'ip', blob 0 has the shape \(4, 3\), the net expects \(5, 3\)",
    ):
        net_from(X + IP % 5).copy_from(path)


@pytest.mark.parametrize("cut", [0, 1, 10, 40, -1])
def test_a_truncated_caffemodel_is_refused(net_from, tmp_path, cut):
    path = tmp_path / "w.caffemodel"
    net = net_from(X + IP % 4)
    net.save(str(path))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(caffe.CaffeError, match=r"w.caffemodel"):
        net.copy_from(str(path))


LENET = recorded.SHARED / "models" / "lenet"


@pytest.mark.skipif(not LENET.is_dir(), reason="needs ../shared/models/lenet")
def test_a_real_model_classifies_digits():
    """The third-party LeNet classifies its ten digits."""
    import cv2

    net = caffe.Net(
        str(LENET / "mnist_deploy.prototxt"),
        str(LENET / "lenet_iter_10000.caffemodel"),
        caffe.TEST,
    )
    images = sorted(LENET.glob("img_*.png"))
    assert len(images) == 10
    for path in images:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        blob = net.blobs[net.inputs[0]]
        blob.reshape(1, 1, 28, 28)
        blob.data[0, 0] = pixels / 256
        out = net.forward()
        assert int(next(iter(out.values()))[0].argmax()) == int(path.name.split("_")[1]), path.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('layer { name: "a" type: "Nope" top: "a" }', "unknown type 'Nope'"),
        ('layer { name: "a" type: "ReLU" bottom: "b" top: "a" }', "unknown blob 'b'"),
        (
            X
            + 'layer { name: "y" type: "ReLU" bottom: "x" top: "x" } '
            + X.replace('"x" type', '"z" type'),
            "produced by another layer",
        ),
        (X + 'layer { name: "y" type: "ReLU" bottom: "x" }', "takes 1 top"),
        (
            X + 'layer { name: "y" type: "ReLU" bottom: "x" top: "y" slope: 1 }',
            'no field named "slope"',
        ),
        ("layer { name: 'a' type: 'Input' top: 'a' ", "net.prototxt"),
    ],
)
def test_bad_nets_are_refused(net_from, text, message):
    with pytest.raises(caffe.CaffeError, match=message) as caught:
        net_from(text)
    assert "\n" not in str(caught.value)


def test_errors_name_the_line(net_from):
    with pytest.raises(caffe.CaffeError, match=r"net.prototxt:3: .*bogus"):
        net_from('name: "n"\nforce_backward: true\nbogus: 1\n')


def test_old_inputs_are_upgraded(net_from):
    net = net_from(
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5'
        ' layer { name: "s" type: "Sigmoid" bottom: "data" top: "s" }'
    )
    assert net.inputs == ["data"]
    assert net.blobs["s"].data.shape == (1, 3, 4, 5)


def test_shared_parameters(net_from):
    same = 'param { name: "w" } inner_product_param { num_output: 3 bias_term: false }'
    net = net_from(
        X
        + f'layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" {same} }}'
        + f'layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b" {same} }}'
    )
    net.params["a"][0].data[...] = np.eye(3) * 2
    net.blobs["x"].data[...] = 1
    net.forward()
    assert (net.blobs["b"].data == 4).all()
    assert len(net.learnable) == 1


@pytest.mark.parametrize("whole_graph", [False, True])
def test_permissive_sharing_allows_another_shape(net_from, whole_graph):
    """A weight (2, 3) and a weight (3, 2) share one memory, in row-major order.

    Other counts, and other shapes with STRICT, are refused.
    """
    layer = (
        'layer {{ name: "{0}" type: "InnerProduct" bottom: "{1}" top: "{0}"'
        ' param {{ name: "w" {3} }}'
        " inner_product_param {{ num_output: {2} bias_term: false }} }}"
    )
    text = X + layer.format("a", "x", 2, "") + layer.format("b", "a", 3, "share_mode: PERMISSIVE")
    net = net_from(
        "force_backward: true "
        + text
        + 'layer { name: "r" type: "Reduction" bottom: "b" top: "r" loss_weight: 1 }'
    )
    net.params["a"][0].data[...] = [[1, 2, 3], [4, 5, 6]]
    assert net.params["b"][0].data.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert len(net.learnable) == 1
    net.blobs["x"].data[...] = [[1, 0, 0], [0, 0, 0]]  # a: 1, 4; b: 9, 19, 29
    net.forward_backward() if whole_graph else (net.forward(), net.backward())
    assert net.blobs["b"].data[0].tolist() == [9, 19, 29]
    # from b: (1, 4) for each of its rows; from a: the column sums 9 and 12 for its first column
    assert net.params["a"][0].diff.tolist() == [[1 + 9, 4, 1], [4 + 12, 1, 4]]
    for count, mode in ((3, ""), (4, "share_mode: PERMISSIVE")):
        with pytest.raises(caffe.CaffeError, match="shares param 'w' of layer 'a'"):
            net_from(X + layer.format("a", "x", 2, "") + layer.format("b", "a", count, mode))


def test_a_solverstate_of_bvlc_is_read(golden):
    state = snapshot.read_solverstate(
        golden / "train" / "runs" / "sgd_step" / "snap_iter_15.solverstate"
    )
    assert state.iter == 15
    assert len(state.history) == 16
    assert state.learned_net.endswith("snap_iter_15.caffemodel")


LABELS = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 2 } } }'
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "x" bottom: "t" %s }'


def test_a_loss_without_a_top(net_from, capfd, tmp_path):
    """As in Caffe, its blob is called (automatic); it is neither read, nor an output, nor saved."""
    net = net_from(X + LABELS + LOSS % "")
    assert list(net.blobs) == ["x", "t", "(automatic)"]
    assert net.outputs == []
    assert net.forward() == {}
    assert net.blobs["(automatic)"].data == pytest.approx(np.log(3))
    assert net.blob_loss_weights["(automatic)"] == 1
    assert float(net.forward_backward()) == pytest.approx(np.log(3))
    log = capfd.readouterr().err
    assert "loss -> (automatic)" in log
    assert "This network produces output" not in log
    net.save(str(tmp_path / "n.caffemodel"))
    saved = caffe_pb2.NetParameter.FromString((tmp_path / "n.caffemodel").read_bytes())
    assert not saved.layer[-1].top
    with pytest.raises(caffe.CaffeError, match="unknown blob"):
        net_from(
            X + LABELS + LOSS % "" + 'layer { name: "s" type: "Silence" bottom: "(automatic)" }'
        )


def test_two_losses_without_a_top(net_from):
    net = net_from(
        'layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 2 }'
        " data_filler { value: 1 }"
        ' data_filler { value: 3 } } } layer { name: "a" type: "EuclideanLoss" bottom: "x"'
        ' bottom: "y" }'
        'layer { name: "b" type: "EuclideanLoss" bottom: "x" bottom: "y" loss_weight: 10 }'
    )
    assert net._blob_names[-2:] == ["(automatic)", "(automatic)"]
    assert net.outputs == []
    assert net._forward(0, len(net.layers) - 1) == pytest.approx(2 + 20)


def test_a_users_net_whose_loss_has_no_top(shared_cases):
    net = caffe.Net(str(shared_cases / "auto_top.prototxt"), caffe.TRAIN)
    assert net.outputs == []
    assert list(net.blobs) == ["x", "y", "(automatic)"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (IP % 2_000_000_000,
            r"layer 'ip' \(InnerProduct\), blob 0: .* 2147483647 at most; lower num_output"),
        (X.replace("dim: 2", "dim: 3000000000"), r"layer 'x' \(Input\): .*at most; lower shape"),
        (
            'layer { name: "d" type: "MemoryData" top: "d" top: "l"'
            ' memory_data_param { batch_size: 1000000 channels: 3'
            ' height: 227 width: 227 } } ',
            r"layer 'd' \(MemoryData\): .* lower batch_size",
        ),
        (
            X + 'layer { name: "t" type: "Tile" bottom: "x" top: "t"'
                ' tile_param { tiles: 2000000000 } }',
            r"layer 't' \(Tile\): .* lower tiles",
        ),
    ],
)  # fmt: skip
def test_blobs_of_more_than_2_31_numbers_are_refused(net_from, layers, message):
    with pytest.raises(caffe.CaffeError, match=message) as caught:
        net_from(
            layers if layers.startswith(('layer { name: "x"', 'layer { name: "d"')) else X + layers
        )
    assert "\n" not in str(caught.value)


def test_a_net_larger_than_the_machine_is_refused(net_from, monkeypatch):
    monkeypatch.setattr("caffe.allocation.available", lambda device: 100)
    monkeypatch.setattr("caffe.layer.Layer.LARGE", 0)
    with pytest.raises(
        caffe.CaffeError,
        match=r"layer 'ip' \(InnerProduct\), blob 0: needs 0.0 GiB.*lower num_output",
    ):
        net_from(X + IP % 9)
    with pytest.raises(
        caffe.CaffeError, match=r"layer 'c' \(Tile\): the net's data up to this layer: needs"
    ):
        net_from(
            X + 'layer { name: "c" type: "Tile" bottom: "x" top: "c" tile_param { tiles: 4 } }'
        )


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at alloc_cpu.cpp:75] DefaultCPUAllocator: ...")],
)
def test_a_failed_allocation_is_one_sentence(net_from, monkeypatch, error):
    net = net_from(X + IP % 4)

    def fail(*_):
        raise error

    monkeypatch.setattr(type(net.layer_dict["ip"]._layer), "forward", fail)
    for run in (net.forward, net.forward_backward):
        with pytest.raises(
            caffe.CaffeError,
            match=r"^layer 'ip' \(InnerProduct\): not enough memory; lower num_output$",
        ):
            run()


def test_a_blob_without_memory_is_named_by_its_layer(net_from, monkeypatch):
    net = net_from(X + IP % 4)

    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("caffe.blob.torch.zeros", fail)
    with pytest.raises(
        caffe.CaffeError,
        match=r"^layer 'ip' \(InnerProduct\): not enough memory; lower num_output$",
    ):
        net.forward(start="ip")
    with pytest.raises(caffe.CaffeError, match=r"^a blob of shape \(2, 3\): not enough memory"):
        net.blobs["x"].data  # noqa: B018
