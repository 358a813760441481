"""Nets in old forms: what becomes of each kind of entry."""

import numpy as np
import pytest

import caffe
from caffe import prototxt
from caffe.proto import caffe_pb2

V1 = """
name: "old" input: "data" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "constant" value: 1 } } }
layers { name: "r" type: RELU bottom: "c" top: "c" }
layers { name: "ip" type: INNER_PRODUCT bottom: "c" top: "ip" param: "w" inner_product_param { num_output: 2 } }
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
    assert not net.layers and [(x.name, x.type) for x in net.layer] == [
        ("input", "Input"),
        ("c", "Convolution"),
        ("r", "ReLU"),
        ("ip", "InnerProduct"),
        ("p", "Softmax"),
    ]
    assert [(p.lr_mult, p.decay_mult) for p in net.layer[1].param] == [(1, 1), (2, 0)]
    assert net.layer[3].param[0].name == "w" and net.layer[4].include[0].phase == caffe.TEST


def test_v1_runs(tmp_path):
    read(tmp_path, V1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = 1
    net.forward()
    assert (net.blobs["c"].data == 18).all() and net.blobs["p"].data.sum() == pytest.approx(1)


def test_v0(tmp_path):
    net = read(tmp_path, V0)
    conv, pool, norm, ip = net.layer[1:]
    assert (conv.type, list(conv.bottom), list(conv.convolution_param.pad)) == ("Convolution", ["data"], [1])
    assert list(conv.convolution_param.stride) == [2] and not conv.convolution_param.bias_term and conv.param[0].lr_mult == 4
    assert pool.pooling_param.pool == caffe_pb2.PoolingParameter.AVE and pool.pooling_param.kernel_size == 2
    assert norm.lrn_param.local_size == 3 and norm.lrn_param.beta == 0.25
    assert ip.type == "InnerProduct" and ip.inner_product_param.num_output == 2


def test_data_layers_of_v0(tmp_path):
    net = read(
        tmp_path,
        'layers { layer { name: "d" type: "data" source: "db" batchsize: 7 cropsize: 5 mirror: true scale: 0.5 meanfile: "m"'
        ' rand_skip: 3 } top: "data" top: "label" }',
    )
    d = net.layer[0]
    assert (d.type, d.data_param.source, d.data_param.batch_size, d.data_param.rand_skip) == ("Data", "db", 7, 3)
    t = d.transform_param
    assert (t.crop_size, t.mirror, t.scale, t.mean_file) == (5, True, 0.5, "m")


def test_every_v1_type_has_todays_name():
    from caffe.layer import NOT_SUPPORTED
    from caffe.upgrade_old_layers import V1_TYPES

    for name in caffe_pb2.V1LayerParameter.LayerType.keys():
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
    "text, message",
    [
        (V1 + 'layer { name: "x" type: "ReLU" bottom: "ip" top: "y" }', "both `layer` and the old `layers`"),
        ('layers { layer { name: "x" type: "konv" } }', "layer 'x': 'konv' is not a layer type of the V0 form"),
        (V0 + 'layers { name: "y" type: RELU bottom: "ip" top: "ip" }', "some V1"),
        (
            'input: "d" input_dim: 1 input_dim: 1 input_dim: 1 input_dim: 1 layers { layer { name: "p" type: "padding" pad: 1 }'
            ' bottom: "d" top: "p" } layers { layer { name: "x" type: "relu" } bottom: "p" top: "x" }',
            "layer 'x' reads the padding layer 'p'",
        ),
        ('layers { name: "x" type: CONVOLUTON }', "net.prototxt:1"),
    ],
)
def test_refused(tmp_path, text, message):
    with pytest.raises(caffe.CaffeError, match=message):
        read(tmp_path, text)
