"""What BVLC's own tests of pycaffe assert about layers written in Python; see pycaffe_tests.md."""

import sys

import numpy as np
import pytest

import caffe

CODE = '''
import caffe


class Times(caffe.Layer):
    """top = bottom * param_str"""

    def setup(self, bottom, top):
        try:
            self.factor = float(self.param_str)
        except ValueError:
            raise ValueError("the factor must be a number")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = self.factor * top[0].diff


class Failing(Times):
    def setup(self, bottom, top):
        raise RuntimeError("as it should")


class Counting(Times):
    """A parameter of one number that is 0 at first; its diff is 1."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase
'''


@pytest.fixture
def python_net(tmp_path, monkeypatch):
    """python_net(("name", "Class", "param_str"), ...): the file of a chain of Python layers.

    The chain's input is 4 x 3 x 2.
    """
    (tmp_path / "suite_layers.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "suite_layers", raising=False)

    def build(*layers, bottom="data"):
        text = (
            'force_backward: true input: "data" input_shape { dim: 4 dim: 3 dim: 2 }'
            if bottom
            else ""
        )
        for name, kind, param_str in layers:
            read = f'bottom: "{bottom}"' if bottom else ""
            text += f'layer {{ name: "{name}" type: "Python" {read} top: "{name}" python_param {{'
            text += f' module: "suite_layers" layer: "{kind}" param_str: "{param_str}" }} }}'
            bottom = name if bottom else ""
        (tmp_path / "python.prototxt").write_text(text)
        return str(tmp_path / "python.prototxt")

    return build


TENS = (("one", "Times", "10"), ("two", "Times", "10"), ("three", "Times", "10"))


@pytest.mark.parametrize(
    ("layers", "factor"),
    [(TENS, 1000), ((("ten", "Times", "10"), ("half", "Times", "0.5")), 5)],
    ids=["same", "by param_str"],
)
def test_python_layers_forward_and_backward(python_net, layers, factor):
    net = caffe.Net(python_net(*layers), caffe.TRAIN)
    last = layers[-1][0]
    net.blobs["data"].data[...] = 8
    np.testing.assert_array_equal(net.forward()[last], np.full((4, 3, 2), 8 * factor))
    net.blobs[last].diff[...] = 7
    net.backward()
    np.testing.assert_array_equal(net.blobs["data"].diff, np.full((4, 3, 2), 7 * factor))


def test_python_layers_take_another_shape(python_net):
    net = caffe.Net(python_net(*TENS), caffe.TRAIN)
    net.blobs["data"].reshape(4, 4, 4, 4)
    net.forward()
    assert {name: blob.data.shape for name, blob in net.blobs.items()} == dict.fromkeys(
        ("data", "one", "two", "three"), (4,) * 4
    )


def test_what_a_python_layer_raises_is_raised(python_net):
    with pytest.raises(RuntimeError, match="as it should"):
        caffe.Net(python_net(("bad", "Failing", "1")), caffe.TEST)
    with pytest.raises(ValueError, match="the factor must be a number"):
        caffe.Net(python_net(("bad", "Times", "many")), caffe.TEST)


def test_a_python_layers_parameter(python_net, tmp_path):
    file = python_net(("count", "Counting", ""))
    net = caffe.Net(file, caffe.TRAIN)
    net.forward()
    net.backward()
    blob = net.layers[list(net._layer_names).index("count")].blobs[0]
    assert blob.data[0] == 0
    assert blob.diff[0] == 1
    blob.data[0] += blob.diff[0]
    net.save(str(tmp_path / "count.caffemodel"))
    blob.data[0] = -1
    net.copy_from(str(tmp_path / "count.caffemodel"))
    assert blob.data[0] == 1
    other = caffe.Net(file, caffe.TRAIN)
    assert other.params["count"][0].data[0] == 0
    other.share_with(net)
    blob.data[0] = 5
    assert other.params["count"][0].data[0] == 5


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_python_layer_has_the_nets_phase(python_net, phase):
    found = caffe.Net(python_net(("phase", "Phase", ""), bottom=""), phase).forward()["phase"]
    assert found.shape == ()
    assert found == phase
