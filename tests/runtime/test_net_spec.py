"""NetSpec: nets written in Python, as people write them."""

import copy
import pickle

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
        batch_size=batch_size,
        backend=P.Data.LMDB,
        source=lmdb,
        transform_param={"scale": 1.0 / 255},
        ntop=2,
    )
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler={"type": "xavier"})
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.fc1 = L.InnerProduct(
        n.pool1, num_output=10, param=[{"lr_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
    )
    n.relu1 = L.ReLU(n.fc1, in_place=True)
    n.score = L.InnerProduct(n.relu1, num_output=10, weight_filler={"type": "xavier"})
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_param={"ignore_label": 3}, loss_weight=2)
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
    assert net.layer[6].loss_param.ignore_label == 3
    assert list(net.layer[6].loss_weight) == [2]
    assert prototxt.parse(str(net), caffe_pb2.NetParameter()) == net


def test_the_net_runs(tmp_path):
    n = caffe.NetSpec()
    n.data = L.Input(shape=[{"dim": [2, 3]}])
    n.ip = L.InnerProduct(n.data, num_output=4, weight_filler={"type": "constant", "value": 0.5})
    n.prob = L.Softmax(n.ip)
    (tmp_path / "n.prototxt").write_text(str(n.to_proto()))
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    np.testing.assert_allclose(net.forward(data=np.ones((2, 3)))["prob"], 0.25)


def test_unnamed_layers_are_numbered_and_shared_bottoms_made_once():
    data = L.Input(shape={"dim": [1, 2]})
    one, two = L.TanH(data), L.TanH(data)
    net = caffe.to_proto(L.Eltwise(one, two, operation=P.Eltwise.SUM, name="sum"))
    assert [x.type for x in net.layer] == ["Input", "TanH", "TanH", "Eltwise"]
    assert len({x.name for x in net.layer}) == 4
    assert net.layer[3].name == "sum"
    assert list(net.layer[3].bottom) == [net.layer[1].top[0], net.layer[2].top[0]]


def test_unnamed_tops_are_named_after_their_type():
    """As in Caffe, the second top of `data` is DummyData1; a layer is named after its first top."""
    n = caffe.NetSpec()
    n.data, other = L.DummyData(shape={"dim": 3}, ntop=2)
    _, n.last = L.DummyData(shape={"dim": 3}, ntop=2)
    n.sum = L.Eltwise(n.data, other, L.ReLU(n.last))
    L.ReLU(n.sum)  # read by no top of the net: it is left out
    assert [(x.name, list(x.bottom), list(x.top)) for x in n.to_proto().layer] == [
        ("data", [], ["data", "DummyData1"]),
        ("DummyData2", [], ["DummyData2", "last"]),
        ("ReLU1", ["last"], ["ReLU1"]),
        ("sum", ["data", "DummyData1", "ReLU1"], ["sum"]),
    ]
    one, two = L.DummyData(shape={"dim": 3}, ntop=2)
    (layer, _) = caffe.to_proto(L.Concat(two, one)).layer
    assert layer.name == "DummyData1"
    assert list(layer.top) == ["DummyData1", "DummyData2"]


def test_in_place_layers_have_their_bottoms_names_and_one_of_their_own():
    relu = L.ReLU(L.Input(shape={"dim": 3}), in_place=True)
    net = caffe.to_proto(L.TanH(relu))
    assert [(x.name, list(x.bottom), list(x.top)) for x in net.layer] == [
        ("Input1", [], ["Input1"]),
        ("ReLU1", ["Input1"], ["Input1"]),
        ("TanH1", ["Input1"], ["TanH1"]),
    ]
    assert relu.to_proto() == caffe.to_proto(relu)
    assert len(relu.to_proto().layer) == 2


def test_layers_come_in_the_order_of_the_attributes_each_after_its_bottoms():
    n = caffe.NetSpec()
    n.b = L.Input(shape={"dim": 3})
    n.c = L.ReLU(n.b)
    n.a = L.ReLU(L.Input(shape={"dim": 2}))
    n.b = L.Input(shape={"dim": 4})  # given again: c still reads the first, which is now unnamed
    net = n.to_proto()
    assert [x.name for x in net.layer] == ["b", "Input1", "c", "Input2", "a"]
    assert list(net.layer[2].bottom) == ["Input1"]
    del n.a
    assert [x.name for x in n.to_proto().layer] == ["b", "Input1", "c"]


def test_layers_without_tops(tmp_path):
    n = caffe.NetSpec()
    n.data, n.data2 = L.DummyData(shape={"dim": 3}, ntop=2)
    n.silence_data = L.Silence(n.data, ntop=0)
    n.quiet = L.Silence(n.data2, ntop=0)
    net = n.to_proto()
    assert [(x.name, len(x.top)) for x in net.layer] == [
        ("data", 2),
        ("silence_data", 0),
        ("quiet", 0),
    ]
    (tmp_path / "n.prototxt").write_text(str(net))
    assert caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST).forward() == {}


@pytest.mark.parametrize("named", [True, False], ids=["named", "anonymous"])
def test_lenet_on_dummy_data_builds(tmp_path, named):
    shapes = [{"dim": [5, 1, 28, 28]}, {"dim": [5, 1, 1, 1]}]
    tops = dict(
        zip(
            ("data", "label"),
            L.DummyData(shape=shapes, transform_param={"scale": 1 / 255}, ntop=2),
            strict=True,
        )
    )
    filler = {"type": "xavier"}
    tops["conv1"] = L.Convolution(tops["data"], kernel_size=5, num_output=20, weight_filler=filler)
    tops["pool1"] = L.Pooling(tops["conv1"], kernel_size=2, stride=2, pool=P.Pooling.MAX)
    tops["conv2"] = L.Convolution(tops["pool1"], kernel_size=5, num_output=50, weight_filler=filler)
    tops["pool2"] = L.Pooling(tops["conv2"], kernel_size=2, stride=2, pool=P.Pooling.MAX)
    tops["ip1"] = L.InnerProduct(tops["pool2"], num_output=500, weight_filler=filler)
    tops["relu1"] = L.ReLU(tops["ip1"], in_place=True)
    tops["ip2"] = L.InnerProduct(tops["relu1"], num_output=10, weight_filler=filler)
    tops["loss"] = L.SoftmaxWithLoss(tops["ip2"], tops["label"])
    if named:
        n = caffe.NetSpec()
        for name, top in tops.items():
            n[name] = top
        proto = n.to_proto()
        assert [x.name for x in proto.layer] == [name for name in tops if name != "label"]
    else:
        proto = tops["loss"].to_proto()
    assert proto.layer[6].type == "ReLU"
    assert proto.layer[6].bottom == proto.layer[6].top
    (tmp_path / "n.prototxt").write_text(str(proto))
    net = caffe.Net(str(tmp_path / "n.prototxt"), caffe.TEST)
    assert len(net.layers) == 9
    assert net.forward()[net.outputs[0]].shape == ()


def test_fields_of_any_kind():
    n = caffe.NetSpec()
    n.x = L.Input(shape={"dim": np.array([2, 3]).tolist()})
    n.y = L.InnerProduct(
        n.x, num_output=np.int64(4), name="given", bias_term=False, top=["more"], loss_weight=2
    )
    n.z = L.Pooling(
        n.y, pool="AVE", kernel_size=(3), include=[{"phase": caffe.TEST}, {"min_level": 1}]
    )
    _, y, z = n.to_proto().layer
    assert (y.name, list(y.top), y.inner_product_param.num_output, list(y.loss_weight)) == (
        "given",
        ["y", "more"],
        4,
        [2],
    )
    assert z.pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    assert [r.min_level for r in z.include] == [0, 1]
    filled = caffe_pb2.LayerParameter()
    caffe.net_spec.assign_proto(filled, "param", [{"lr_mult": 2}, caffe_pb2.ParamSpec(name="w")])
    assert [(p.lr_mult, p.name) for p in filled.param] == [(2, ""), (1, "w")]
    assert caffe.net_spec.param_name_dict()["InnerProduct"] == "inner_product"


PARSED = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 name: "w" } param { lr_mult: 2 } convolution_param {
    num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv"
  include { phase: TRAIN } include { phase: TEST stage: "s" } }
layer { name: "two" type: "Slice" bottom: "conv" top: "one" top: "two"
  slice_param { slice_point: 1 slice_point: 2 } }
layer { name: "up" type: "Deconvolution" bottom: "two" top: "up" loss_weight: 0.5
  convolution_param { kernel_size: 2 } }
"""


def values(item):
    """Messages as dicts and repeated fields as lists, the way scripts take parsed nets apart."""
    if hasattr(item, "ListFields"):
        return {field.name: values(value) for field, value in item.ListFields()}
    return list(item) if hasattr(item, "__delitem__") else item


def test_a_parsed_net_is_rebuilt_layer_by_layer():
    """As philkr's magic_init does, with lists of messages and the layer's name as fields."""
    net = prototxt.parse(PARSED, caffe_pb2.NetParameter())
    tops = {"data": L.Input(shape={"dim": [1, 3, 5, 5]})}
    for layer in net.layer:
        fields = {
            key: value
            for key, value in values(layer).items()
            if key not in ("name", "type", "bottom", "top")
        }
        in_place, bottoms = layer.top == layer.bottom, [tops[name] for name in layer.bottom]
        made = getattr(L, layer.type)(
            *bottoms, ntop=len(layer.top), in_place=in_place, name=layer.name, **fields
        )
        tops |= dict(zip(layer.top, made if len(layer.top) > 1 else [made], strict=True))
    rebuilt = caffe.to_proto(*tops.values()).layer
    assert len(rebuilt) == 6
    for found, layer in zip(list(rebuilt)[1:], net.layer, strict=True):
        assert found.name == layer.name
        assert len(found.top) == len(layer.top)
        for field in ("bottom", "top"):
            found.ClearField(field)
            layer.ClearField(field)
        assert found == layer


def test_layers_and_params_are_objects_as_well():
    top = caffe.net_spec.layers.ReLU(caffe.net_spec.Layers().Input())
    assert caffe.to_proto(top).layer[1].type == "ReLU"
    assert caffe.layers.ReLU.__name__ == "ReLU"
    assert (
        caffe.params.Eltwise.MAX
        == caffe.net_spec.Parameters().Eltwise.MAX
        == caffe_pb2.EltwiseParameter.MAX
    )


def test_a_net_is_copied_and_pickled():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": 3})
    n.relu = L.ReLU(n.data)
    for twin in (copy.deepcopy(n), pickle.loads(pickle.dumps(n))):
        assert twin.to_proto() == n.to_proto()
        assert twin.relu is not n.relu
    assert hasattr(n, "relu")
    assert not hasattr(n, "other")
    assert not hasattr(copy.copy(P), "__wrapped__")
    with pytest.raises(KeyError):
        n["other"]


def test_several_tops_and_none():
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [1, 4]})
    n["a"], n["b"] = L.Slice(n.data, ntop=2, slice_param={"axis": 1, "slice_point": [1]})
    n.quiet = L.Silence(n.b, ntop=0)
    net = n.to_proto()
    assert list(net.layer[1].top) == ["a", "b"]
    assert net.layer[1].name == "a"
    assert net.layer[2].type == "Silence"
    assert not net.layer[2].top
    assert list(net.layer[2].bottom) == ["b"]


def test_python_layers_and_rules():
    n = caffe.NetSpec()
    n.data = L.Python(
        module="m", layer="K", param_str=str({"a": 1}), ntop=1, include={"phase": caffe.TRAIN}
    )
    layer = n.to_proto().layer[0]
    assert layer.python_param.param_str == "{'a': 1}"
    assert layer.include[0].phase == caffe.TRAIN


def tuple_as_attribute():
    n = caffe.NetSpec()
    n.both = L.DummyData(ntop=2)
    n.to_proto()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: caffe.to_proto(L.ReLU(L.Input(), slope=1)),
            caffe.CaffeError,
            "has no field 'slope'",
        ),
        (
            lambda: L.Silence(L.DummyData(ntop=2), ntop=0),
            TypeError,
            r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$",
        ),
        (
            lambda: L.Eltwise(L.Input(), 3),
            TypeError,
            r"^Eltwise input 1 is not a Top \(type is <class 'int'>\)$",
        ),
        (tuple_as_attribute, TypeError, r"NetSpec's both is not a Top \(type is <class 'tuple'>\)"),
        (lambda: caffe.NetSpec().data, AttributeError, "has no top 'data'"),
        (lambda: P.Nothing.MAX, AttributeError, "NothingParameter"),
        (lambda: P.Pooling.MEDIAN, AttributeError, "caffe.proto has no PoolingParameter.MEDIAN"),
        (
            lambda: caffe.to_proto(L.ReLU(L.Input(), relu_param={"slope": 1})),
            caffe.CaffeError,
            "ReLUParameter has no field",
        ),
        (
            lambda: caffe.to_proto(L.InnerProduct(num_output="a")),
            caffe.CaffeError,
            "'num_output' cannot hold 'a'",
        ),
        (
            lambda: caffe.to_proto(L.InnerProduct(num_output=[3])),
            caffe.CaffeError,
            r"'num_output' cannot hold \[3\]",
        ),
        (
            lambda: caffe.to_proto(L.Deconvolution(num_output=3)),
            caffe.CaffeError,
            r"as in convolution_param=dict\(num_output=",
        ),
        (
            lambda: caffe.to_proto(L.ReLU(L.Slice(L.Input(), ntop=2, in_place=True)[1])),
            caffe.CaffeError,
            "top 1 of an in-place",
        ),
    ],
)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
