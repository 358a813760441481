"""What a solver's prototxt can ask for besides updates: test nets, snapshots, initial weights."""

import re

import h5py
import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2

NET = """name: "Tiny"
layer { name: "x" type: "DummyData" top: "x" top: "t" dummy_data_param { shape { dim: 4 dim: 3 }
  shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 0.25 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "y" bottom: "t" top: "loss" }
layer { name: "twice" type: "Power" bottom: "y" top: "twice" power_param { scale: 2 }
  include { phase: TEST stage: "more" } }
layer { name: "quiet" type: "Silence" bottom: "y" include { phase: TEST not_stage: "more" } }
layer { name: "level" type: "Power" bottom: "x" top: "level" include { phase: TRAIN min_level: 3 } }
"""


@pytest.fixture
def make(tmp_path):
    """make(settings): the solver of NET with these settings."""
    (tmp_path / "net.prototxt").write_text(NET)

    def build(settings, net="net"):
        path = tmp_path / "solver.prototxt"
        base = (
            f'base_lr: 0.1 lr_policy: "fixed" random_seed: 1 snapshot_prefix: "{tmp_path}/s"'
            f" max_iter: 4\n"
        )
        path.write_text(f'{net}: "{tmp_path}/net.prototxt" {base} {settings}')
        return caffe.get_solver(str(path))

    return build


def test_each_test_net_has_its_own_state(make, capfd):
    solver = make(
        'test_iter: 2 test_iter: 1 test_interval: 2 test_state { stage: "more" } test_state { }'
    )
    assert [net.outputs for net in solver.test_nets] == [["loss", "twice"], ["loss"]]
    solver.step(4)
    log = capfd.readouterr().err
    assert re.findall(r"Iteration (\d+), Testing net \(#(\d)\)", log) == [
        ("0", "0"),
        ("0", "1"),
        ("2", "0"),
        ("2", "1"),
    ]
    for net in solver.test_nets:
        np.testing.assert_array_equal(net.params["ip"][0].data, solver.net.params["ip"][0].data)


def test_no_test_before_training(make, capfd):
    make("test_iter: 1 test_interval: 2 test_initialization: false").step(4)
    assert re.findall(r"Iteration (\d+), Testing net", capfd.readouterr().err) == ["2"]


def test_test_loss_is_the_mean(make, capfd):
    solver = make("test_iter: 3 test_interval: 1 test_compute_loss: true")
    y = np.array([[solver.net.params["ip"][0].data.sum(axis=1)]] * 4).reshape(4, 2)
    solver.step(1)
    shown = float(re.search(r"Test loss: (\S+)", capfd.readouterr().err)[1])
    assert shown == pytest.approx(float((np.log1p(np.exp(y)) - 0.25 * y).sum() / 4), rel=1e-5)


def test_train_state(make):
    assert "level" in make("train_state { level: 3 }").net.blobs
    assert "level" not in make("").net.blobs


def test_nets_named_one_by_one(make, tmp_path):
    solver = make(
        f'test_net: "{tmp_path}/net.prototxt" test_iter: 1 test_interval: 1', net="train_net"
    )
    assert len(solver.test_nets) == 1
    assert solver.test_nets[0].outputs == ["loss"]


@pytest.mark.parametrize("train", [True, False])
def test_snapshot_after_train(make, tmp_path, train):
    solver = make(f"snapshot_after_train: {str(train).lower()}")
    solver.solve()
    assert (tmp_path / "s_iter_4.caffemodel").exists() == train


def test_snapshot_interval(make, tmp_path):
    make("snapshot: 3").solve()
    assert sorted(p.name for p in tmp_path.glob("*.solverstate")) == [
        "s_iter_3.solverstate",
        "s_iter_4.solverstate",
    ]
    state = caffe_pb2.SolverState.FromString((tmp_path / "s_iter_3.solverstate").read_bytes())
    assert (state.iter, state.current_step, len(state.history)) == (3, 0, 2)
    assert state.learned_net == str(tmp_path / "s_iter_3.caffemodel")
    assert list(state.history[0].shape.dim) == [2, 3]


def test_hdf5_snapshots(make, tmp_path):
    solver = make("snapshot_format: HDF5 momentum: 0.9")
    solver.solve()
    with h5py.File(tmp_path / "s_iter_4.caffemodel.h5") as f:
        np.testing.assert_array_equal(f["data/ip/0"], solver.net.params["ip"][0].data)
    with h5py.File(tmp_path / "s_iter_4.solverstate.h5") as f:
        assert np.array(f["iter"]).tolist() == [4]
        assert set(f["history"]) == {"0", "1"}
    again = make("snapshot_format: HDF5 momentum: 0.9")
    again.restore(str(tmp_path / "s_iter_4.solverstate.h5"))
    solver.step(1), again.step(1)
    np.testing.assert_array_equal(again.net.params["ip"][0].data, solver.net.params["ip"][0].data)


def test_snapshot_diff(make, tmp_path):
    make("snapshot_diff: true").solve()
    net = caffe_pb2.NetParameter.FromString((tmp_path / "s_iter_4.caffemodel").read_bytes())
    blob = next(layer.blobs[0] for layer in net.layer if layer.name == "ip")
    assert len(blob.diff) == 6
    assert any(blob.diff)


def test_weights_to_start_from(make, tmp_path):
    first = make("")
    first.net.params["ip"][0].data[...] = 7
    first.net.save(str(tmp_path / "w.caffemodel"))
    assert (make(f'weights: "{tmp_path}/w.caffemodel"').net.params["ip"][0].data == 7).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "test_iter: 1 test_iter: 1 test_interval: 1 test_state { }",
            "2 test net.* but 1 test_state",
        ),
        ("snapshot: 1 iter_size: 0", "iter_size and average_loss"),
        ('regularization_type: "L3"', "regularization_type 'L3'"),
        ('solver_type: ADAM type: "SGD"', "both `type` and the old"),
    ],
)
def test_refused(make, settings, message):
    with pytest.raises(caffe.CaffeError, match=message):
        make(settings)


def test_the_old_solver_type(make):
    assert isinstance(make("solver_type: NESTEROV"), caffe.NesterovSolver)
