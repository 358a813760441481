"""Python: a user's layer, written as for pycaffe."""

import pytest
from numpy.testing import assert_allclose

CODE = '''
import caffe


class Affine(caffe.Layer):
    """top = bottom * factor (param_str) + a learnt shift"""

    def setup(self, bottom, top):
        self.factor = float(self.param_str)
        self.blobs.add_blob(1)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.factor + self.blobs[0].data[0]

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff * self.factor
        self.blobs[0].diff[...] += top[0].diff.sum()


class NoLayer:
    def __init__(self, *args):
        pass
'''


def python(layer, module, param_str="3"):
    return f'type: "Python" python_param {{ module: "{module}" layer: "{layer}" param_str: "{param_str}" }}'


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    name = f"users_layers_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_forward_and_gradients(one_layer, module):
    layer = one_layer(python("Affine", module), x=[1, 2])
    layer.blobs[0].data[...] = 10
    assert_allclose(layer.forward(), [13, 16])
    assert_allclose(layer.backward([1, 5]), [3, 15])
    assert_allclose(layer.blobs[0].diff, [6])


def test_between_other_layers(net_from, module):
    net = net_from(
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        f'layer {{ name: "p" bottom: "x" top: "p" {python("Affine", module)} }}'
        'layer { name: "r" type: "ReLU" bottom: "p" top: "r" }'
    )
    net.blobs["x"].data[...] = [-1, 2]
    assert_allclose(net.forward()["r"], [0, 6])
    net.blobs["r"].diff[...] = [1, 1]
    net.backward()
    assert_allclose(net.blobs["x"].diff, [0, 3])


def test_a_missing_module_is_named(refused):
    refused("no_such_module", python("Affine", "no_such_module"), x=[1])


@pytest.mark.parametrize(("layer", "match"), [("Missing", "no class 'Missing'"), ("NoLayer", "not a subclass")])
def test_refused(refused, module, layer, match):
    refused(match, python(layer, module), x=[1])
