"""What BVLC's own tests of pycaffe assert about nets and solvers; see pycaffe_tests.md."""

import re
from pathlib import Path

import numpy as np
import pytest

import caffe

NET = """
name: "classes" force_backward: true
layer { name: "input" type: "DummyData" top: "image" top: "class" dummy_data_param {
  shape { dim: [4, 2, 3, 5] } shape { dim: 4 } data_filler { type: "gaussian" std: 1 }
    data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "image" top: "maps" param { decay_mult: 1 }
  param { decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 2 pad: 2 weight_filler { type: "gaussian" std: 1 }
    bias_filler { type: "constant" value: 2 } } }
layer { name: "score" type: "InnerProduct" bottom: "maps" top: "scores"
  inner_product_param { num_output: 7
  weight_filler { type: "gaussian" std: 0.05 } bias_filler { type: "constant" value: -3 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "class" top: "loss" }
"""


@pytest.fixture
def net_file(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return str(tmp_path / "net.prototxt")


@pytest.fixture
def net(net_file):
    caffe.set_random_seed(3)
    net = caffe.Net(net_file, caffe.TRAIN)
    net.blobs["class"].data[...] = [3, 0, 6, 1]
    return net


def test_arrays_outlive_their_net(net):
    weights, maps = net.params["conv"][0], net.blobs["maps"]
    net.forward()
    data, expected = weights.data, weights.data.copy()
    del net
    np.testing.assert_array_equal(data, expected)
    assert maps.data.shape == (4, 6, 6, 8)
    assert weights.diff.shape == (6, 2, 2, 2)
    assert np.isfinite(maps.data).all()


def test_layers_by_name_and_by_number(net):
    assert list(net.layer_dict) == list(net._layer_names) == ["input", "conv", "score", "loss"]
    assert [net.layer_dict[name].type for name in net._layer_names] == [
        layer.type for layer in net.layers
    ]
    assert [layer.type for layer in net.layers] == [
        "DummyData",
        "Convolution",
        "InnerProduct",
        "SoftmaxWithLoss",
    ]


def test_forward_and_backward(net):
    """The gradient of the scores is (softmax - one-hot) / 4."""
    loss = net.forward()["loss"].copy()
    net.backward()
    scores = net.blobs["scores"].data.astype(float)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    labels = [3, 0, 6, 1]
    np.testing.assert_allclose(loss, -np.log(p[range(4), labels]).mean(), rtol=1e-4)
    np.testing.assert_allclose(net.blobs["scores"].diff, (p - np.eye(7)[labels]) / 4, atol=1e-6)


def test_one_layer_forward(net):
    maps = np.random.default_rng(0).random((4, 6, 6, 8), dtype=np.float32)
    net.blobs["maps"].data[:] = maps
    found = net.forward(start="score", end="score")
    weights, bias = (blob.data for blob in net.params["score"])
    assert set(found) == {"scores"}
    np.testing.assert_allclose(
        net.blobs["scores"].data, maps.reshape(4, -1) @ weights.T + bias, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_array_equal(net.blobs["maps"].data, maps)


def test_one_layer_backward(net):
    diff = np.random.default_rng(0).random((4, 7), dtype=np.float32)
    net.blobs["scores"].diff[:] = diff
    found = net.backward(start="score", end="score")
    assert set(found) == {"maps"}
    expected = (diff @ net.params["score"][0].data).reshape(4, 6, 6, 8)
    np.testing.assert_allclose(net.blobs["maps"].diff, expected, rtol=1e-3, atol=1e-4)


def test_parameter_diffs_are_cleared_in_place(net):
    net.forward()
    net.backward()
    diff = net.params["conv"][0].diff
    assert diff.any()
    net.clear_param_diffs()
    assert not diff.any()


def test_inputs_and_outputs(net):
    assert net.inputs == []
    assert net.outputs == ["loss"]
    assert dict(net.top_names) == {
        "input": ["image", "class"],
        "conv": ["maps"],
        "score": ["scores"],
        "loss": ["loss"],
    }
    assert dict(net.bottom_names) == {
        "input": [],
        "conv": ["image"],
        "score": ["maps"],
        "loss": ["scores", "class"],
    }
    assert list(net.top_names) == list(net.bottom_names) == ["input", "conv", "score", "loss"]


def same_weights(one, other):
    assert list(one.params) == list(other.params) == ["conv", "score"]
    for name in one.params:
        for left, right in zip(one.params[name], other.params[name], strict=True):
            np.testing.assert_array_equal(left.data, right.data)


def test_weights_are_saved_and_read_by_both_constructors(net, net_file, tmp_path):
    net.save(str(tmp_path / "weights"))
    same_weights(caffe.Net(net_file, str(tmp_path / "weights"), caffe.TRAIN), net)
    same_weights(caffe.Net(net_file, caffe.TRAIN, weights=str(tmp_path / "weights")), net)


@pytest.mark.parametrize("name", ["weights.h5", "weights"])
def test_weights_are_saved_and_read_as_hdf5(net, net_file, tmp_path, name):
    """Under any file name: HDF5 is recognised by its content."""
    net.save_hdf5(str(tmp_path / name))
    other = caffe.Net(net_file, caffe.TRAIN)
    other.load_hdf5(str(tmp_path / name))
    same_weights(other, net)


def branches(tmp_path, *rules):
    """A net file with an InnerProduct `name` on one input per (name, rule)."""
    text = (
        'layer { name: "x" type: "DummyData" top: "x" dummy_data_param {'
        " shape { dim: 1 dim: 4 } } }"
    )
    for name, rule in rules:
        text += f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "{name}" {rule}'
        text += " inner_product_param { num_output: 1 } }"
    (tmp_path / "branches.prototxt").write_text(text)
    return str(tmp_path / "branches.prototxt")


def tops(net):
    return [name for name in net.blobs if not name.startswith("x")]


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0, ["always", "only 0", "from 0"]), (1, ["always", "only 1", "from 0", "from 1"])],
)
def test_levels(tmp_path, level, expected):
    rules = [
        ("always", ""),
        ("only 0", "include { min_level: 0 max_level: 0 }"),
        ("only 1", "include { min_level: 1 max_level: 1 }"),
        ("from 0", "include { min_level: 0 }"),
        ("from 1", "include { min_level: 1 }"),
    ]
    assert tops(caffe.Net(branches(tmp_path, *rules), caffe.TEST, level=level)) == expected
    assert level or tops(caffe.Net(branches(tmp_path, *rules), caffe.TEST)) == expected


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        (["s"], ["in s", "in either"]),
        (["t"], ["in t", "in either"]),
        (["s", "t"], ["in s", "in t", "in either", "in both"]),
    ],
)
def test_stages(tmp_path, stages, expected):
    rules = [
        ("in s", 'include { stage: "s" }'),
        ("in t", 'include { stage: "t" }'),
        ("in either", 'include { stage: "s" } include { stage: "t" }'),
        ("in both", 'include { stage: "s" stage: "t" }'),
    ]
    assert tops(caffe.Net(branches(tmp_path, *rules), caffe.TEST, stages=stages)) == expected


@pytest.mark.parametrize(
    ("phase", "stage", "output"),
    [(caffe.TRAIN, "train", "loss"), (caffe.TEST, "val", "loss"), (caffe.TEST, "deploy", "prob")],
)
def test_training_validation_and_deployment_in_one_file(tmp_path, phase, stage, output):
    data = (
        'type: "DummyData" top: "x" top: "class" dummy_data_param { shape { dim: 1 dim: 9 }'
        " shape { dim: 1 } }"
    )
    (tmp_path / "all.prototxt").write_text(
        f'layer {{ name: "train" {data} include {{ phase: TRAIN stage: "train" }} }}'
        f'layer {{ name: "val" {data} include {{ phase: TEST stage: "val" }} }}'
        'layer { name: "deploy" type: "Input" top: "x" input_param { shape { dim: 1 dim: 9 } }'
        ' include { phase: TEST stage: "deploy" } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"'
        " inner_product_param { num_output: 2 } }"
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "class" top: "loss"'
        ' include { phase: TRAIN stage: "train" } include { phase: TEST stage: "val" } }'
        'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob"'
        ' include { phase: TEST stage: "deploy" } }'
    )
    net = caffe.Net(str(tmp_path / "all.prototxt"), phase, stages=[stage])
    assert list(net.blobs["x"].shape) == [1, 9]
    assert net.outputs == [output]


def test_the_table_names_every_test():
    """pycaffe_tests.md has 52 rows, and each names an existing test."""
    folder = Path(__file__).parent
    rows = re.findall(
        r"^\| (test_\S+) \| (\S+) \|$", (folder / "pycaffe_tests.md").read_text(), flags=re.M
    )
    assert len(rows) == len({name for name, _ in rows}) == 52
    for _, here in rows:
        file, name = here.rpartition("::")[::2]
        assert f"def {name}(" in (folder / (file or Path(__file__).name)).read_text(), here


def test_the_uid_of_a_session():
    assert isinstance(caffe.NCCL.new_uid(), bytes)


def test_standard_layer_types_are_listed():
    assert {"Data", "Convolution", "InnerProduct", "Python"} <= set(caffe.layer_type_list())


# ------------------------------------------------------------------------------------------ solvers
@pytest.fixture
def solver(net_file, tmp_path):
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{net_file}" test_iter: 10 test_interval: 10 base_lr: 0.01 momentum: 0.9'
        f' weight_decay: 0.0005 lr_policy: "inv"'
        " gamma: 0.0001 power: 0.75 display: 100 max_iter: 100 snapshot_after_train: false"
        " random_seed: 2"
        f' snapshot_prefix: "{tmp_path}/model"'
    )
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    for net in (solver.net, *solver.test_nets):
        net.blobs["class"].data[...] = [3, 0, 6, 1]
    return solver


def test_solving_ends_at_max_iter(solver, tmp_path):
    assert solver.iter == 0
    solver.solve()
    assert solver.iter == 100
    assert not list(tmp_path.glob("*.caffemodel"))
    assert isinstance(caffe.get_solver(str(tmp_path / "solver.prototxt")), caffe.SGDSolver)


def test_an_update_by_hand(solver):
    """The first learning rate of `inv` is base_lr: weights of 0 with a diff of 1 become -0.01."""
    (weights, _) = solver.net.layers[1].blobs
    data = weights.data
    data[...] = 0
    weights.diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(data, np.full(data.shape, -0.01), atol=1e-7)


def test_nets_outlive_their_solver(solver):
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    del solver
    for net in nets:
        arrays = [blob.data for blobs in net.params.values() for blob in blobs] + [
            blob.diff for blob in net.blobs.values()
        ]
        assert len(arrays) == 4 + 5
        assert all(np.isfinite(array).all() for array in arrays)


def test_a_snapshot_before_the_first_iteration(solver, tmp_path):
    solver.snapshot()
    assert {path.name for path in tmp_path.glob("model*")} == {
        "model_iter_0.caffemodel",
        "model_iter_0.solverstate",
    }
