"""NetSpec: nets written in Python, as people write them."""

import numpy as np
import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe import prototxt
from caffe.proto import caffe_pb2


def lenet(lmdb, batch_size):
    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size, backend=P.Data.LMDB, source=lmdb, transform_param=dict(scale=1.0 / 255), ntop=2
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(n.pool1, num_output=10, param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)])
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler=dict(type="xavier"))
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_param=dict(ignore_label=3), loss_weight=2)
    return n.to_proto()


def test_lenet_as_prototxt():
    net = lenet("db", 64)
    assert [(x.name, x.type, list(x.bottom), list(x.top)) for x in net.layer] == [
        ("data", "Data", [], ["data", "label"]),
        ("conv1", "Convolution", ["data"], ["conv1"]),
        ("pool1", "Pooling", ["conv1"], ["pool1"]),
        ("fc1", "InnerProduct", ["pool1"], ["fc1"]),
        ("relu1", "ReLU", ["fc1"], ["fc1"]),
        ("score", "InnerProduct", ["fc1"], ["score"]),
        ("loss", "SoftmaxWithLoss", ["score", "label"], ["loss"]),
    ]
    assert list(net.layer[1].convolution_param.kernel_size) == [5]
    assert net.layer[1].convolution_param.weight_filler.type == "xavier"
    assert net.layer[2].pooling_param.pool == caffe_pb2.PoolingParameter.MAX
    assert [(p.lr_mult, p.decay_mult) for p in net.layer[3].param] == [(1, 1), (2, 0)]
    assert net.layer[6].loss_param.ignore_label == 3 and list(net.layer[6].loss_weight) == [2]
    assert prototxt.parse(str(net), caffe_pb2.NetParameter()) == net


def test_the_net_runs(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=[dict(dim=[2, 3])])
    n.ip = L.InnerProduct(n.data, num_output=4, weight_filler=dict(type="constant", value=0.5))
    n.prob = L.Softmax(n.ip)
    (tmp_path / "n.prototxt").write_text(str(n.to_proto()))
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    np.testing.assert_allclose(net.forward(data=np.ones((2, 3)))["prob"], 0.25)


def test_unnamed_layers_are_numbered_and_shared_bottoms_made_once():
    data = L.Input(shape=dict(dim=[1, 2]))
    one, two = L.TanH(data), L.TanH(data)
    net = caffe.to_proto(L.Eltwise(one, two, operation=P.Eltwise.SUM, name="sum"))
    assert [x.type for x in net.layer] == ["Input", "TanH", "TanH", "Eltwise"]
    assert len({x.name for x in net.layer}) == 4 and net.layer[3].name == "sum"
    assert list(net.layer[3].bottom) == [net.layer[1].top[0], net.layer[2].top[0]]


def test_several_tops_and_none():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 4]))
    n["a"], n["b"] = L.Slice(n.data, ntop=2, slice_param=dict(axis=1, slice_point=[1]))
    n.quiet = L.Silence(n.b, ntop=0)
    net = n.to_proto()
    assert list(net.layer[1].top) == ["a", "b"] and net.layer[1].name == "a"
    assert net.layer[2].type == "Silence" and not net.layer[2].top and list(net.layer[2].bottom) == ["b"]


def test_python_layers_and_rules():
    n = caffe.NetSpec()
    n.data = L.Python(module="m", layer="K", param_str=str(dict(a=1)), ntop=1, include=dict(phase=caffe.TRAIN))
    layer = n.to_proto().layer[0]
    assert layer.python_param.param_str == "{'a': 1}" and layer.include[0].phase == caffe.TRAIN


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: caffe.to_proto(L.ReLU(L.Input(), slope=1)), caffe.CaffeError, "has no field 'slope'"),
        (lambda: L.ReLU(3), TypeError, "ReLU input 0 is not a Top"),
        (lambda: P.Nothing.MAX, AttributeError, "NothingParameter"),
        (lambda: caffe.to_proto(L.ReLU(L.Input(), relu_param=dict(slope=1))), caffe.CaffeError, "ReLUParameter has no field"),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
