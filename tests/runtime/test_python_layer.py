"""Python: a user's own layer, written for pycaffe."""

import pytest
from numpy.testing import assert_allclose

import caffe

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


class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Broken(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError("the user's own")


class NoLayer:
    def __init__(self, *args):
        pass
'''


def python(layer, module, param_str="3"):
    return (
        f'type: "Python" python_param {{ module: "{module}" layer: "{layer}"'
        f' param_str: "{param_str}" }}'
    )


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
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param {'
        " shape { dim: 2 } } }"
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


@pytest.mark.parametrize(
    ("layer", "match"), [("Missing", "no class 'Missing'"), ("NoLayer", "not a subclass")]
)
def test_refused(refused, module, layer, match):
    refused(match, python(layer, module), x=[1])


def python_net(net_from, layer, tops=("top",), param_str="", rest=""):
    names = " ".join(f'top: "{top}"' for top in tops)
    text = (
        f'type: "Python" python_param {{ module: "python_layers" layer: "{layer}"'
        f" param_str: '{param_str}' }}"
    )
    return net_from(
        'force_backward: true layer { name: "x" type: "Input" top: "x" input_param {'
        " shape { dim: 2 dim: 3 } } }"
        f'layer {{ name: "p" bottom: "x" {names} {text} }} {rest}'
    )


@pytest.fixture
def users(shared_cases, monkeypatch):
    monkeypatch.syspath_prepend(shared_cases)


def test_the_net_shows_the_users_object(net_from, users):
    """As in pycaffe, with the attributes, parameters and type of the user's layer."""
    net = python_net(net_from, "A", ("a", "phase"), '{"factor": 3}')
    mine = net.layers[1]
    assert mine.p == {"factor": 3}
    assert mine.cnt == 0
    assert mine.type == "Python"
    assert mine is net.layer_dict["p"]
    net.blobs["x"].data[...] = 5
    net.forward()
    assert mine.cnt == 1
    assert (net.blobs["a"].data == 10).all()
    assert net.blobs["phase"].data == caffe.TRAIN
    net.blobs["a"].diff[...] = 7
    net.backward()
    assert mine.cnt == 1
    assert (net.blobs["x"].diff == 14).all()
    assert_allclose(mine.blobs[0].diff, [[70, 70, 70]])
    net.backward()
    assert_allclose(net.params["p"][0].diff, [[140, 140, 140]])


def test_reshape_runs_before_every_forward(net_from, users):
    net = python_net(net_from, "Grow")  # its top has a row for each reshape
    assert net.blobs["top"].shape == (1, 2)
    assert [net.forward()["top"].shape for _ in range(2)] == [(2, 2), (3, 2)]
    net.forward_backward()
    net.reshape()
    assert net.blobs["top"].shape == (5, 2)
    assert net.layers[1].n == 5
    net.backward()
    assert net.layers[1].n == 5


def test_a_top_reshaped_in_forward(net_from, users):
    net = python_net(
        net_from, "InFwd", rest='layer { name: "r" type: "ReLU" bottom: "top" top: "r" }'
    )
    assert [net.forward()["r"].tolist() for _ in range(2)] == [[[1, 1]], [[2, 2], [2, 2]]]
    net.forward_backward()
    assert net.blobs["r"].data.tolist() == [[3, 3]] * 3


def test_without_backward(net_from, users):
    net = python_net(net_from, "NoBack")
    net.blobs["x"].data[...] = 2
    assert net.forward()["top"] == 12
    with pytest.raises(NotImplementedError):
        net.backward()


def test_backward_reads_the_blobs_as_they_are(net_from, users):
    """Even in the solver's pass, where the ReLU above has overwritten the top by then."""
    rest = (
        'layer { name: "r" type: "ReLU" bottom: "a" top: "a" }'
        'layer { name: "s" type: "Reduction" bottom: "a" top: "s" loss_weight: 1 }'
    )
    net = python_net(net_from, "A", ("a", "phase"), rest=rest)
    net.blobs["x"].data[...] = [[1, -1, 1]] * 2
    net.forward_backward()
    assert_allclose(net.blobs["a"].data, [[2, 0, 2]] * 2)
    assert_allclose(net.blobs["x"].diff, [[2, 0, 2]] * 2)
    net.forward()
    net.blobs["x"].data[...] = 10
    net.clear_param_diffs()
    net.backward()
    assert_allclose(net.params["p"][0].diff, [[20, 0, 20]])


def chain(module, length=3):
    """Affine layers one after the other, each a factor of 10."""
    text = 'force_backward: true input: "b0" input_shape { dim: 2 dim: 3 dim: 4 }'
    for k in range(length):
        affine = python("Affine", module, 10)
        text += f'layer {{ name: "l{k}" bottom: "b{k}" top: "b{k + 1}" {affine} }}'
    return text


def test_a_chain(net_from, module):
    net = net_from(chain(module))
    net.blobs["b0"].data[...] = 8
    assert (net.forward()["b3"] == 8000).all()
    net.blobs["b3"].diff[...] = 7
    net.backward()
    assert (net.blobs["b0"].diff == 7000).all()


def test_a_chain_backward_only(net_from, module):
    net = net_from(chain(module))
    net.blobs["b3"].diff[...] = 7
    assert (net.backward()["b0"] == 7000).all()


def test_forward_carries_a_new_shape_through(net_from, module):
    net = net_from(chain(module))
    net.blobs["b0"].reshape(5, 5, 5, 5)
    net.forward()
    assert {blob.data.shape for blob in net.blobs.values()} == {(5, 5, 5, 5)}


def test_parameters_are_saved_loaded_and_shared(net_from, module, tmp_path):
    net = net_from(chain(module, 1))
    mine = net.layers[net._layer_names.index("l0")]
    mine.blobs[0].data[0] = 1
    net.save(str(tmp_path / "weights"))
    mine.blobs[0].data[0] = -1
    net.copy_from(str(tmp_path / "weights"))
    assert mine.blobs[0].data[0] == 1
    assert net.params["l0"][0] is mine.blobs[0]
    other = net_from(chain(module, 1))
    other.share_with(net)
    mine.blobs[0].data[0] = 5
    assert other.layers[1].blobs[0].data[0] == 5
    assert (other.forward()["b1"] == 5).all()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_the_phase(net_from, module, phase):
    net = net_from(f'layer {{ name: "p" top: "phase" {python("Phase", module)} }}', phase)
    assert net.forward()["phase"] == phase
    assert net.blobs["phase"].shape == ()


def test_the_users_exception_is_passed_on(net_from, module):
    with pytest.raises(RuntimeError, match="the user's own"):
        net_from(f'layer {{ name: "p" top: "p" {python("Broken", module)} }}')


def test_learnt_in_the_solvers_pass(tmp_path, module):
    """y = 3 x + b; the loss is sum(y), so that b's gradient is the number of elements."""
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 } } }'
        f'layer {{ name: "p" bottom: "x" top: "y" {python("Affine", module)} }}'
        'layer { name: "s" type: "Reduction" bottom: "y" top: "s" loss_weight: 1 }'
    )
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.5 lr_policy: "fixed"'
        f' snapshot_prefix: "{tmp_path}/s"'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    for keep in (True, False):  # from Python, and on the command line
        solver.net.keep_blobs = keep
        solver.step(1)
    assert_allclose(solver.net.params["p"][0].data, [-2 * 0.5 * 4])
