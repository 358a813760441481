"""Nets in old forms: how each kind of entry is upgraded."""

import numpy as np
import pytest

import caffe
from caffe import prototxt
from caffe.proto import caffe_pb2

V1 = """
name: "old" input: "data" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2
  weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "constant" value: 1 } } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "ip" type: INNER_PRODUCT bottom: "c" top: "ip" param: "w"
  inner_product_param { num_output: 2 } }
layers { name: "p" type: SOFTMAX bottom: "ip" top: "p" include { phase: TEST } }
"""
V0 = """
name: "older" input: "data" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "padded" }
layers { layer { name: "c" type: "conv" num_output: 3 kernelsize: 3 stride: 2 biasterm: false
  weight_filler { type: "constant" value: 1 } blobs_lr: 4 } bottom: "padded" top: "c" }
layers { layer { name: "m" type: "pool" pool: AVE kernelsize: 2 } bottom: "c" top: "m" }
layers { layer { name: "n" type: "lrn" local_size: 3 alpha: 0.5 beta: 0.25 } bottom: "m" top: "n" }
layers { layer { name: "ip" type: "innerproduct" num_output: 2 } bottom: "n" top: "ip" }
"""


def read(tmp_path, text):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return prototxt.read_net(path)


def test_v1(tmp_path):
    net = read(tmp_path, V1)
    assert not net.layers
    assert [(x.name, x.type) for x in net.layer] == [
        ("input", "Input"),
        ("c", "Convolution"),
        ("r", "ReLU"),
        ("ip", "InnerProduct"),
        ("p", "Softmax"),
    ]
    assert [(p.lr_mult, p.decay_mult) for p in net.layer[1].param] == [(1, 1), (2, 0)]
    assert net.layer[3].param[0].name == "w"
    assert net.layer[4].include[0].phase == caffe.TEST


def test_v1_runs(tmp_path):
    read(tmp_path, V1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = 1
    net.forward()
    assert (net.blobs["c"].data == 18).all()
    assert net.blobs["p"].data.sum() == pytest.approx(1)


def test_v0(tmp_path):
    net = read(tmp_path, V0)
    conv, pool, norm, ip = net.layer[1:]
    assert (conv.type, list(conv.bottom), list(conv.convolution_param.pad)) == (
        "Convolution",
        ["data"],
        [1],
    )
    assert list(conv.convolution_param.stride) == [2]
    assert not conv.convolution_param.bias_term
    assert conv.param[0].lr_mult == 4
    assert pool.pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    assert pool.pooling_param.kernel_size == 2
    assert norm.lrn_param.local_size == 3
    assert norm.lrn_param.beta == 0.25
    assert ip.type == "InnerProduct"
    assert ip.inner_product_param.num_output == 2


def test_data_layers_of_v0(tmp_path):
    net = read(
        tmp_path,
        'layers { layer { name: "d" type: "data" source: "db" batchsize: 7 cropsize: 5'
        ' mirror: true scale: 0.5 meanfile: "m"'
        ' rand_skip: 3 } top: "data" top: "label" }',
    )
    d = net.layer[0]
    assert (d.type, d.data_param.source, d.data_param.batch_size, d.data_param.rand_skip) == (
        "Data",
        "db",
        7,
        3,
    )
    t = d.transform_param
    assert (t.crop_size, t.mirror, t.scale, t.mean_file) == (5, True, 0.5, "m")


def test_every_v1_type_has_todays_name():
    from caffe.layer_factory import NOT_SUPPORTED
    from caffe.upgrade_old_layers import V1_TYPES

    for name in caffe_pb2.V1LayerParameter.LayerType.DESCRIPTOR.values_by_name:
        if name != "NONE":
            today = V1_TYPES.get(name, name.title().replace("_", ""))
            assert today in caffe.layer_type_list() or today in NOT_SUPPORTED, name


def test_weights_of_old_files(tmp_path):
    """Blobs with num, channels, height, width, in V1 and in V0 entries."""
    read(tmp_path, V1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    values = np.arange(54, dtype=np.float32)
    for nest in (lambda layer: layer, lambda layer: layer.layer):
        old = caffe_pb2.NetParameter()
        entry = nest(old.layers.add())
        entry.name = "c"
        entry.blobs.add(num=3, channels=2, height=3, width=3, data=values)
        entry.blobs.add(num=1, channels=1, height=1, width=3, data=[1, 2, 3])
        (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
        net.params["c"][0].data[...] = 0
        net.copy_from(str(tmp_path / "old.caffemodel"))
        np.testing.assert_array_equal(net.params["c"][0].data, values.reshape(3, 2, 3, 3))
        np.testing.assert_array_equal(net.params["c"][1].data, [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            V1 + 'layer { name: "x" type: "ReLU" bottom: "ip" top: "y" }',
            "both `layer` and the old `layers`",
        ),
        (
            'layers { layer { name: "x" type: "konv" } }',
            "layer 'x': 'konv' is not a layer type of the V0 form",
        ),
        (V0 + 'layers { name: "y" type: RELU bottom: "ip" top: "ip" }', "some V1"),
        (
            'input: "d" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 layers {'
            ' layer { name: "p" type: "padding" pad: 1 }'
            ' bottom: "d" top: "p" } layers {'
            ' layer { name: "x" type: "relu" } bottom: "p" top: "x" }',
            "layer 'x' reads the padding layer 'p'",
        ),
        (
            'layers { layer { name: "p" type: "padding" pad: 1 } top: "p" }'
            ' layers { layer { name: "x" type: "conv" } bottom: "p" top: "x" }',
            "the padding layer 'p' and layer 'x' that reads it must each have one bottom",
        ),
        ('layers { name: "x" type: CONVOLUTON }', "net.prototxt:1"),
    ],
)
def test_refused(tmp_path, text, message):
    with pytest.raises(caffe.CaffeError, match=message):
        read(tmp_path, text)


# --------------------------------------------------------------- what Caffe accepts with a warning


def test_v0_fields_that_do_not_apply_are_left_out_with_a_warning(tmp_path, capsys):
    """As in Caffe ("continuing anyway"); transformation fields belong to every type."""
    net = read(
        tmp_path,
        'layers { layer { name: "r" type: "relu" kernelsize: 3 num_output: 2 pool: AVE'
        ' new_num: 4 source: "x" alpha: 2 }'
        ' bottom: "d" top: "r" } layers {'
        ' layer { name: "c" type: "conv" num_output: 3 kernelsize: 2 dropout_ratio: 0.3'
        ' mirror: true cropsize: 5 scale: 0.5 meanfile: "m" } bottom: "r" top: "c" }',
    )
    relu, conv = net.layer
    assert prototxt.to_text(relu) == 'name: "r"\ntype: "ReLU"\nbottom: "d"\ntop: "r"\n'
    assert conv.convolution_param.num_output == 3
    assert not conv.HasField("dropout_param")
    t = conv.transform_param
    assert (t.crop_size, t.mirror, t.scale, t.mean_file) == (5, True, 0.5, "m")
    log = capsys.readouterr().err
    for field in ("kernelsize", "num_output", "pool", "new_num", "source", "alpha"):
        assert (
            f"layer 'r': Unknown parameter {field} for layer type relu; continuing anyway." in log
        )
    assert "layer 'c': Unknown parameter dropout_ratio for layer type conv" in log
    assert log.count("continuing anyway") == 7


def test_every_v0_field_is_used_or_logged(tmp_path, capsys):
    """No field of the old message causes another exception, whatever the layer's type."""
    from caffe.upgrade_old_layers import V0_TYPES

    kinds = [
        "accuracy",
        "data",
        "dropout",
        "hdf5_output",
        "lrn",
        "relu",
        "split",
        "window_data",
        *V0_TYPES,
    ]
    for kind in kinds:
        net = caffe_pb2.NetParameter()
        old = net.layers.add().layer
        for field in caffe_pb2.V0LayerParameter.DESCRIPTOR.fields:
            value = getattr(old, field.name)
            if field.message_type and not hasattr(value, "add"):
                value.SetInParent()
            elif hasattr(value, "add"):
                value.add()
            elif hasattr(value, "append"):
                value.append(2)
            elif field.enum_type or field.name in ("concat_dim", "new_num", "new_channels"):
                setattr(old, field.name, 1)
            elif isinstance(value, str):
                setattr(old, field.name, "x")
            else:
                setattr(old, field.name, type(value)(1))
        old.type = kind
        (tmp_path / "net.prototxt").write_text(prototxt.to_text(net))
        (layer,) = prototxt.read_net(tmp_path / "net.prototxt").layer
        assert layer.name == "x"
        assert len(layer.blobs) == 1
        assert layer.param[0].lr_mult == layer.param[0].decay_mult == 2


def test_v1_share_modes_without_names(tmp_path):
    """Caffe makes a ParamSpec for each blob_share_mode, whether there is a `param` or not."""
    net = read(
        tmp_path,
        'layers { name: "a" type: INNER_PRODUCT blob_share_mode: PERMISSIVE'
        ' blob_share_mode: STRICT param: "w" }',
    )
    first, second = net.layer[0].param
    assert (first.name, first.share_mode) == ("w", caffe_pb2.ParamSpec.PERMISSIVE)
    assert (second.name, second.share_mode) == ("", caffe_pb2.ParamSpec.STRICT)


INPUT = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }'
RELU = 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }'


def test_input_without_dims_beside_an_input_layer_is_dropped(tmp_path, capsys):
    net = read(tmp_path, f'input: "data" {INPUT} {RELU}')
    assert not net.input
    assert [layer.name for layer in net.layer] == ["d", "r"]
    assert (
        "`input` 'data' has no shape (input_shape, input_dim) and is dropped"
        in capsys.readouterr().err
    )
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert net.inputs == ["data"]
    assert net.blobs["r"].shape == (2, 3)


def test_input_without_dims_alone_is_one_sentence(tmp_path, capsys):
    read(tmp_path, f'input: "data" {RELU}')
    with pytest.raises(caffe.CaffeError, match="layer 'r': bottom 0 is the unknown blob 'data'"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert "has no shape" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dims", "shapes"),
    [
        ("input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5", [[1, 2, 3, 4]]),
        ("input_shape { dim: 2 dim: 3 } input_shape { dim: 7 }", [[2, 3]]),
        ("input_dim: 9 input_shape { dim: 2 dim: 3 }", [[2, 3]]),
        ('input: "more" input_shape { dim: 2 } input_shape { }', [[2], []]),
    ],
)
def test_input_shapes_by_caffes_rule(tmp_path, dims, shapes):
    """Shapes take precedence over dims; surplus ones are ignored."""
    net = read(tmp_path, f'input: "data" {dims} {RELU}')
    assert net.layer[0].type == "Input"
    assert [list(s.dim) for s in net.layer[0].input_param.shape] == shapes
    assert net.layer[1].name == "r"
    assert not net.input_dim
    assert not net.input_shape


def test_too_few_input_shapes_are_refused(tmp_path):
    for dims in ("input_dim: 1", "input_shape { dim: 2 }"):
        with pytest.raises(caffe.CaffeError, match=r"net.prototxt: 2 `input`"):
            read(tmp_path, f'input: "a" input: "b" {dims}')


SOLVED = """
%s {
  layers { name: "x" type: DUMMY_DATA top: "x" top: "t"
    dummy_data_param { shape { dim: 1 dim: 1 } shape { dim: 1 dim: 1 }
    data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 3 } } }
  layers { name: "ip" type: INNER_PRODUCT blobs_lr: 2 bottom: "x" top: "y"
    inner_product_param { num_output: 1 bias_term: false
    weight_filler { type: "constant" value: 1 } } }
  layers { name: "loss" type: EUCLIDEAN_LOSS bottom: "y" bottom: "t" top: "loss" }
}
"""


@pytest.mark.parametrize(
    "fields", [["net_param"], ["train_net_param"], ["train_net_param", "test_net_param"]]
)
@pytest.mark.parametrize("as_message", [False, True])
def test_v1_layers_inside_a_solver_are_upgraded(tmp_path, fields, as_message):
    """y = w x with w = 1, x = 1, t = 3: the loss is (1 - 3)^2 / 2 = 2.

    One step of 0.1 * blobs_lr 2 gives w = 1 + 0.2 * 2.
    """
    text = 'base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_after_train: false '
    text += "".join(SOLVED % field for field in fields)
    if "test_net_param" in fields:
        text += "test_iter: 1 test_interval: 1"
    (tmp_path / "s.prototxt").write_text(text)
    given = (
        prototxt.read_solver(tmp_path / "s.prototxt")
        if as_message
        else str(tmp_path / "s.prototxt")
    )
    solver = caffe.SGDSolver(given)
    solver.step(1)
    assert solver.net.blobs["loss"].data == 2
    assert solver.net.params["ip"][0].data.item() == pytest.approx(1.4)


def test_v0_layers_and_input_dims_inside_a_solver_are_upgraded(tmp_path):
    (tmp_path / "s.prototxt").write_text(
        'base_lr: 0.1 lr_policy: "fixed" max_iter: 1'
        ' net_param { input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4'
        ' layers { layer { name: "c" type: "conv" num_output: 5 kernelsize: 2 } bottom: "x"'
        ' top: "c" } }'
    )
    net = caffe.SGDSolver(str(tmp_path / "s.prototxt")).net
    assert list(net._layer_names) == ["input", "c"]
    assert net.blobs["c"].shape == (1, 5, 2, 3)
