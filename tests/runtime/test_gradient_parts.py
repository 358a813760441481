"""Gradients in parts, and gradients that are overwritten, give the same weights."""

import pytest
import torch
from google.protobuf import text_format

import caffe
from caffe import gradient_parts
from caffe.proto import caffe_pb2

SHARED = """
layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" param { name: "w" }
  inner_product_param { num_output: 5 bias_term: false
    weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "fc3" type: "InnerProduct" bottom: "fc2" top: "fc3" param { name: "w" }
  inner_product_param { num_output: 5 bias_term: false
    weight_filler { type: "gaussian" std: 0.3 } } }
"""
SEPARATE = SHARED.replace('param { name: "w" }', "")
FROZEN = SEPARATE.replace('top: "fc2"', 'top: "fc2" param { lr_mult: 0 }')
TRANSPOSED = SEPARATE.replace("bias_term: false", "bias_term: false transpose: true")
SOLVER = """
base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.01 max_iter: 100
snapshot_after_train: false random_seed: 3 solver_mode: CPU
net_param {
  layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
    shape { dim: 6 dim: 3 dim: 9 dim: 9 } shape { dim: 6 dim: 5 }
    data_filler { type: "gaussian" } data_filler { type: "uniform" } } }
  layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
    convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
  layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
  layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
    pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
  layer { name: "fc1" type: "InnerProduct" bottom: "pool" top: "fc1"
    inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.1 } } }
  %s
  layer { name: "loss" type: "EuclideanLoss" bottom: "fc3" bottom: "t" top: "loss" }
}
"""


def trained(rest, iterations=4):
    """The solver after some iterations, and its weights."""
    param = text_format.Parse(SOLVER % rest, caffe_pb2.SolverParameter())
    solver = caffe.get_solver(param)
    solver.net.keep_blobs = False  # as in `caffe train`
    solver.step(iterations)
    return solver, [parameter.blob.tensor().clone() for parameter in solver.net.learnable]


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of two rows of fc1, which has 5 x 36 weights."""
    monkeypatch.setattr(gradient_parts, "PART", 80)
    monkeypatch.setattr(gradient_parts, "ROWS", 2)


@pytest.mark.parametrize("rest", [SEPARATE, SHARED, FROZEN, TRANSPOSED])
def test_parts_do_not_change_the_weights(request, rest):
    _, whole = trained(rest)
    request.getfixturevalue("small_parts")
    _, in_parts = trained(rest)
    for one, other in zip(whole, in_parts, strict=True):  # products of few rows round differently
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((4096, 9216), [96] * 41 + [160]),  # fc6 of CaffeNet
        ((4096, 4096), [256] * 16),
        ((40, 100_000), [40]),
        ((70, 1 << 20), [32, 38]),
        ((1, 1 << 21), [1]),
    ],
)
def test_rows_of_parts(shape, sizes):
    """Multiples of 32 with up to 2^20 elements; the last part takes the rest."""
    rows = list(gradient_parts.rows_of_parts(torch.Size(shape)))
    assert [part.stop - part.start for part in rows] == sizes
    assert [part.start for part in rows] == [sum(sizes[:i]) for i in range(len(sizes))]


@pytest.fixture
def parts(monkeypatch):
    """The parts that are given away, in order: (owner, shape, first element)."""
    found = []
    use_of = gradient_parts.use_of

    def recording(net, node):
        use = use_of(net, node)
        if use is None:
            return None

        def record(gradient, first):
            found.append((node.name, tuple(gradient.shape), first))
            use(gradient, first)

        return record

    monkeypatch.setattr(gradient_parts, "use_of", recording)
    return found


@pytest.mark.usefixtures("small_parts")
def test_every_part_is_used_once(parts):
    trained(SEPARATE, 1)
    assert [part for part in parts if part[0] == "fc1"] == [
        ("fc1", (2, 36), 0),
        ("fc1", (3, 36), 72),
    ]


def test_only_weights_of_one_layer_are_updated_in_parts(monkeypatch, parts):
    """The gradient of shared weights is a sum, and frozen weights have none."""
    monkeypatch.setattr(gradient_parts, "PART", 1)
    trained(SHARED, 1)
    assert {name for name, *_ in parts} == {"fc1"}
    parts.clear()
    trained(FROZEN, 1)
    assert {name for name, *_ in parts} == {"fc1", "fc3"}


def test_small_weights_are_updated_at_once(parts):
    trained(SEPARATE, 1)
    assert not parts


def test_where_all_gradients_are_needed_first_there_are_no_parts(monkeypatch, parts):
    monkeypatch.setattr(gradient_parts, "PART", 1)
    solver, _ = trained(SEPARATE, 1)
    parts.clear()
    solver.param.iter_size = 2
    solver.step(1)
    assert not parts


def relu_of(rest):
    return trained(rest, 0)[0].net.nodes[2].layer


def test_a_relu_may_overwrite_a_gradient_that_nobody_else_reads():
    assert relu_of(SEPARATE).overwrites_diff


@pytest.mark.parametrize(
    "change",
    [
        # a second reader
        lambda rest: rest + 'layer { name: "r" type: "Reduction" bottom: "conv" top: "r" }',
        # a reader that may hand on the gradient that it was given
        lambda rest: rest.replace(
            'layer { name: "fc2"',
            'layer { name: "e" type: "Eltwise" bottom: "conv" bottom: "conv" top: "e" }'
            'layer { name: "s" type: "Silence" bottom: "e" } layer { name: "fc2"',
        ),
    ],
)
def test_a_relu_keeps_a_gradient_that_others_read(change):
    assert not relu_of(change(SEPARATE)).overwrites_diff


def test_overwritten_gradients_do_not_change_the_weights(monkeypatch):
    _, overwriting = trained(SEPARATE)
    monkeypatch.setattr("caffe.in_place._only_one_reads", lambda *_: False)
    solver, keeping = trained(SEPARATE)
    assert not solver.net.nodes[2].layer.overwrites_diff
    assert all(map(torch.equal, overwriting, keeping))


def test_gradients_that_may_be_read_are_not_overwritten():
    """With blobs kept, the diffs of the ReLU's top and of its bottom are both there."""
    param = text_format.Parse(SOLVER % SEPARATE, caffe_pb2.SolverParameter())
    solver = caffe.get_solver(param)
    solver.step(1)
    top, pool = solver.net.blobs["conv"].diff, solver.net.blobs["pool"].diff
    assert pool.any()
    assert top.sum() == pytest.approx(pool.sum(), rel=1e-4)  # max-pooling hands on every gradient
