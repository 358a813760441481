"""Weights and states on disk: Caffe's layouts, layer names, shared blobs, damage, full disks."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from file_limit import files_of_at_most

import caffe
from caffe import hdf5_file, snapshot, weights_file
from caffe.blob import Blob
from caffe.proto import caffe_pb2

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "caffe"
X = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'
NAMES = ["conv1/7x7_s2", "a", "a/5", "b/c", "b/c/d", "b", "0", "é", "a b"]  # paths of their own
ODD = [
    "a/0",
    "a/1/b",
    "x//y",
    "/z",
    "z/",
    "./q",
    "q/..",
    "..",
    ".",
    "",
    "a",
    "b/c",
    "layer_000003",
    "/".join("abcdefgh" * 20),
]


def ip(name, top, param=""):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "x" top: "{top}" {param}'
        f" inner_product_param {{ num_output: 3"
        ' weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }\n'
    )


def net_of(names):
    return X + "".join(ip(name, f"y{i}") for i, name in enumerate(names))


def values(net):
    return [blob.data.copy() for layer in net.layers for blob in layer.blobs]


def assert_same(mine, theirs):
    assert len(mine) == len(theirs) > 0
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


# -------------------------------------------------------------------------------------- layer names


@pytest.mark.parametrize("save", ["save", "save_hdf5"])
def test_every_layer_name_round_trips(net_from, tmp_path, save):
    text, path = net_of(NAMES + ODD), str(tmp_path / "weights")
    first, second = net_from(text), net_from(text)
    getattr(first, save)(path)
    assert not np.array_equal(values(first)[0], values(second)[0])
    second.copy_from(path)
    assert_same(values(first), values(second))


def test_names_without_slashes_have_caffes_layout_and_paths_are_groups(net_from, tmp_path):
    net = net_from(net_of(NAMES))
    net.save_hdf5(str(tmp_path / "w.h5"), True)
    with h5py.File(tmp_path / "w.h5") as f:
        assert set(f) == {"data", "diff"}
        # a group per layer, with blobs or without
        assert set(f["data"]) == {"x", "conv1", "a", "b", "0", "é", "a b", "x_x_0_split"}
        for name in NAMES:
            for i, blob in enumerate(net.params[name]):
                assert f[f"data/{name}/{i}"].dtype == f[f"diff/{name}/{i}"].dtype == np.float32
                np.testing.assert_array_equal(f[f"data/{name}/{i}"], blob.data)
        assert not any("layer_" in key for key in f["data"])


def test_nested_groups_of_earlier_snapshots_are_read(net_from, tmp_path):
    net = net_from(net_of(["inception_3a/1x1"]))
    with h5py.File(tmp_path / "w.h5", "w") as f:
        f["data/inception_3a/1x1/0"], f["data/inception_3a/1x1/1"] = (
            np.full((3, 3), 2.0),
            np.full(3, 5),
        )
    net.copy_from(str(tmp_path / "w.h5"))
    assert (net.params["inception_3a/1x1"][0].data == 2).all()
    assert (net.params["inception_3a/1x1"][1].data == 5).all()


SOLVER = """
net: "{folder}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 6
  snapshot: {every} random_seed: 1 display: 0
snapshot_prefix: "{folder}/s" snapshot_format: HDF5
"""
LEARNING = """
layer { name: "d/ata" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 1 } } }
layer { name: "fc/a" type: "InnerProduct" bottom: "x" top: "y" param { name: "w" }
  inner_product_param { num_output: 3
  weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "fc//b" type: "InnerProduct" bottom: "y" top: "z" param { name: "w" }
  inner_product_param { num_output: 3 } }
layer { name: "fc/a/0" type: "InnerProduct" bottom: "z" top: "s" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
layer { name: "loss/" type: "EuclideanLoss" bottom: "s" bottom: "t" }
"""


def test_a_training_with_any_names_resumes_from_hdf5(tmp_path):
    """A training that stops and resumes ends as one without a stop; two layers share weights."""
    (tmp_path / "net.prototxt").write_text(LEARNING)
    for every in (3, 6):
        (tmp_path / f"{every}.prototxt").write_text(SOLVER.format(folder=tmp_path, every=every))
    whole = caffe.get_solver(str(tmp_path / "6.prototxt"))
    whole.solve()
    stopped = caffe.get_solver(str(tmp_path / "3.prototxt"))
    stopped.step(3)
    resumed = caffe.get_solver(str(tmp_path / "3.prototxt"))
    resumed.solve(str(tmp_path / "s_iter_3.solverstate.h5"))
    assert resumed.iter == 6
    assert_same(values(whole.net), values(resumed.net))


# ------------------------------------------------------------------------------------- shared blobs


def test_shared_blobs_are_written_once_as_in_caffe(net_from, tmp_path):
    shared = 'param { name: "w" }'
    text = X + ip("p", "y", shared) + ip("q", "z", shared) + ip("r", "v", f"{shared} param {{}}")
    first, second = net_from(text), net_from(text)
    first.save_hdf5(str(tmp_path / "w.h5"), True)
    with h5py.File(tmp_path / "w.h5") as f:
        assert {name: set(f["data"][name]) for name in "pqr"} == {
            "p": {"0", "1"},
            "q": {"1"},
            "r": {"1"},
        }
        assert set(f["diff/q"]) == {"0", "1"}  # Caffe writes all diffs
    second.copy_from(str(tmp_path / "w.h5"))
    assert_same(values(first), values(second))
    alone = net_from(X + ip("q", "z"))
    with pytest.raises(
        caffe.CaffeError, match=r"w.h5: layer 'q' has 1 blob\(s\), the net expects 2"
    ):
        alone.copy_from(str(tmp_path / "w.h5"))


def test_a_file_of_caffes_with_shared_weights(net_from):
    path = CASES / "partly_shared.h5"
    if not path.is_file():
        pytest.skip(f"the small inputs are not here ({CASES})")
    net = net_from(X + ip("p", "y", 'param { name: "w" }') + ip("q", "z", 'param { name: "w" }'))
    net.copy_from(str(path))
    with h5py.File(path) as f:
        for name, i in (("p", 0), ("p", 1), ("q", 1)):
            np.testing.assert_array_equal(net.params[name][i].data, f[f"data/{name}/{i}"])
        np.testing.assert_array_equal(net.params["q"][0].data, f["data/p/0"])


def test_a_layer_whose_blobs_are_missing_is_refused(net_from, tmp_path):
    """Caffe: "Incompatible number of blobs".  Otherwise the weights would stay the fillers'."""
    net = caffe_pb2.NetParameter()
    net.layer.add(name="a", type="InnerProduct")
    (tmp_path / "w.caffemodel").write_bytes(net.SerializeToString())
    with pytest.raises(caffe.CaffeError, match=r"layer 'a' has 0 blob\(s\), the net expects 2"):
        net_from(net_of(["a"])).copy_from(str(tmp_path / "w.caffemodel"))


# ----------------------------------------------------------------------------- content, not suffix


def test_weights_are_recognised_by_their_content(net_from, tmp_path):
    first = net_from(net_of(["a"]))
    first.save(str(tmp_path / "binary.h5"))
    first.save_hdf5(str(tmp_path / "hdf5.caffemodel"))
    # HDF5 that begins at byte 1024
    with h5py.File(tmp_path / "behind", "w", userblock_size=1024) as f:
        for i, blob in enumerate(first.params["a"]):
            f[f"data/a/{i}"] = blob.data
    for name in ("binary.h5", "hdf5.caffemodel", "behind"):
        for load in ("copy_from", "load_hdf5"):
            second = net_from(net_of(["a"]))
            getattr(second, load)(str(tmp_path / name))
            assert_same(values(first), values(second))


def test_states_are_recognised_by_their_content(tmp_path):
    history = [torch.arange(6.0).reshape(2, 3), torch.tensor([7.0])]
    for name in ("s.solverstate", "s.solverstate.h5"):
        path = str(tmp_path / name)
        snapshot.write_solverstate(path, 15, "runs/snap_iter_15.caffemodel", 2, history)
        shutil.move(path, tmp_path / "any")
        state = snapshot.read_solverstate(tmp_path / "any")
        assert (state.iter, state.learned_net, state.current_step) == (
            15,
            "runs/snap_iter_15.caffemodel",
            2,
        )
        assert_same([h.numpy() for h in history], state.history)


def test_an_hdf5_state_has_caffes_types(golden, tmp_path):
    """Every dataset has the type and shape of a recorded one.

    Caffe reads only strings of fixed length.
    """
    recorded = golden / "train/runs/sgd_step_h5/snap_iter_15.solverstate.h5"
    state = snapshot.read_solverstate(recorded)
    snapshot.write_solverstate(
        str(tmp_path / "s.h5"),
        state.iter,
        state.learned_net,
        state.current_step,
        [torch.from_numpy(h) for h in state.history],
    )
    with h5py.File(recorded) as theirs, h5py.File(tmp_path / "s.h5") as mine:
        names = []
        theirs.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        assert len(names) == 3 + len(state.history)
        for name in names:
            assert mine[name].id.get_type() == theirs[name].id.get_type()
            assert mine[name].shape == theirs[name].shape
            np.testing.assert_array_equal(mine[name][()], theirs[name][()])
        kind = mine["learned_net"].id.get_type()
        assert kind.get_size() == len(state.learned_net) + 1
        assert kind.get_strpad() == h5py.h5t.STR_NULLTERM


NAME = "é/x.caffemodel"


@pytest.mark.parametrize("value", [NAME, np.bytes_(NAME.encode()), np.array([NAME], dtype=object)])
@pytest.mark.parametrize("userblock", [0, 512])
def test_learned_net_as_strings_of_both_kinds(tmp_path, value, userblock):
    with h5py.File(tmp_path / "s.h5", "w", userblock_size=userblock) as f:
        f["another"] = "string"
        f["iter"], f["current_step"], f["history/0"] = np.int32([4]), 1, np.ones(2)
        f.create_dataset(
            "learned_net",
            data=value,
            dtype=h5py.string_dtype() if isinstance(value, np.ndarray) else None,
        )
    assert snapshot.read_solverstate(tmp_path / "s.h5").learned_net == NAME


def test_the_commands_read_either_form_under_any_name(tmp_path, capsys):
    """`train -snapshot` (with the weights that the state names), `train` and `test -weights`."""
    from caffe.cli import main

    (tmp_path / "net.prototxt").write_text(LEARNING)
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(folder=tmp_path, every=3))
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.step(3)
    shutil.move(tmp_path / "s_iter_3.caffemodel.h5", tmp_path / "weights")
    with h5py.File(tmp_path / "s_iter_3.solverstate.h5", "a") as f:
        del f["learned_net"]
        f["learned_net"] = str(tmp_path / "weights")
    shutil.move(tmp_path / "s_iter_3.solverstate.h5", tmp_path / "state")
    train = ["train", "-solver", str(tmp_path / "solver.prototxt")]
    assert main([*train, "-snapshot", str(tmp_path / "state")]) == 0
    assert main([*train, "-weights", str(tmp_path / "weights")]) == 0
    test = ["test", "-model", str(tmp_path / "net.prototxt"), "-iterations", "1", "-weights"]
    capsys.readouterr()
    assert main([*test, str(tmp_path / "weights")]) == 0
    loss = solver.net.forward_backward(backward=False).item()
    assert f"Loss: {loss:.6g}" in capsys.readouterr().err


# ------------------------------------------------------------------------------------ damaged files


def h5(path, fill):
    with h5py.File(path, "w") as f:
        fill(f)


def deep(f):
    f["/".join(["data"] + ["g"] * 100 + ["0"])] = 1


def virtual(f):
    layout = h5py.VirtualLayout(shape=(3,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(3,))
    f.create_virtual_dataset("data/a/0", layout)


WEIGHTS = {
    "no /data": (lambda f: f.create_group("date"), "holds no group /data"),
    "/data is a dataset": (lambda f: f.create_dataset("data", data=1), "holds no group /data"),
    "a dataset in /data": (
        lambda f: f.create_dataset("data/0", data=1),
        "/data/0 is not a blob's number",
    ),
    "a dataset of another name": (
        lambda f: f.create_dataset("data/a/weight", data=1),
        "/data/a/weight is not a blob's number",
    ),
    "a number with a zero in front": (
        lambda f: f.create_dataset("data/a/00", data=1),
        "/data/a/00 is not a blob's number",
    ),
    "strings": (
        lambda f: f.create_dataset("data/a/0", data=[b"x"]),
        "/data/a/0 does not hold numbers",
    ),
    "objects": (
        lambda f: f.create_dataset("data/a/0", data=["x"], dtype=h5py.string_dtype()),
        "does not hold numbers",
    ),
    "a compound": (
        lambda f: f.create_dataset("data/a/0", data=np.zeros(2, "f4,i4")),
        "does not hold numbers",
    ),
    "truth values": (lambda f: f.create_dataset("data/a/0", data=[True]), "does not hold numbers"),
    "nothing": (
        lambda f: f.create_dataset("data/a/0", data=h5py.Empty("f4")),
        "does not have a shape",
    ),
    "a named type": (
        lambda f: f.__setitem__("data/a", np.dtype("f4")),
        "/data/a is neither a group nor a dataset",
    ),
    "a soft link": (
        lambda f: f.__setitem__("data/a", h5py.SoftLink("/b")),
        "/data/a is a link to elsewhere",
    ),
    "an external link": (
        lambda f: f.__setitem__("data/a", h5py.ExternalLink("x.h5", "/")),
        "/data/a is a link to elsewhere",
    ),
    "/data is a link": (
        lambda f: f.__setitem__("data", h5py.SoftLink("/b")),
        "/data is a link to elsewhere",
    ),
    "a cycle": (
        lambda f: f.create_group("data/a").__setitem__("b", f["data"]),
        "/data/a/b is a group that appears twice in the file",
    ),
    "a hundred levels": (deep, "nested more than 64 deep"),
    "values elsewhere": (
        lambda f: f.create_dataset(
            "data/a/0", (9,), "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
        ),
        "/data/a/0 keeps its values in another file",
    ),
    "a virtual dataset": (virtual, "/data/a/0 keeps its values in another file"),
    "a huge shape": (
        lambda f: f.create_dataset("data/a/0", (2**20, 2**20), "f4"),
        "for which the file is too small",
    ),
    "huge and chunked": (
        lambda f: f.create_dataset(
            "data/a/0", (2**40,), "f4", chunks=(2**10,), compression="gzip"
        ).__setitem__(0, 1),
        "for which the file is too small",
    ),
    "an odd name": (
        lambda f: f.create_dataset("data/a\nb/x", data=1),
        "/data/a\\nb/x is not a blob's number",
    ),
    "a name that is not one": (
        lambda f: f.create_group("data/a").attrs.__setitem__("layer_name", "x"),
        "is not a name",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_files_that_are_not_weights(tmp_path, case):
    path = tmp_path / "w.caffemodel.h5"
    h5(path, WEIGHTS[case][0])
    with pytest.raises(caffe.CaffeError) as caught:
        weights_file.read_caffemodel(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert WEIGHTS[case][1] in str(caught.value)


def test_numbers_of_any_width_are_read(tmp_path):
    """As in Caffe, HDF5 turns doubles and integers into floats; the data may be compressed."""
    kinds = ["f2", "<f4", ">f4", "f8", "i1", "u2", ">i8"]
    with h5py.File(tmp_path / "w.h5", "w") as f:
        for i, kind in enumerate(kinds):
            f.create_dataset(
                f"data/a/{i}",
                data=np.arange(6).reshape(2, 3).astype(kind),
                compression="gzip" if i % 2 else None,
            )
        f["data/a/7"], f["data/a/8"] = 2.5, np.zeros((0, 4))
    blobs = weights_file.read_caffemodel(tmp_path / "w.h5")["a"]
    assert [blob.array().dtype for blob in blobs] == [np.float32] * 9
    assert all((blob.array() == np.arange(6).reshape(2, 3)).all() for blob in blobs[:7])
    assert blobs[7].array() == 2.5
    assert blobs[8].shape == (0, 4)


def good_state(f):
    f["iter"], f["current_step"], f["learned_net"] = np.int32([4]), np.int32([0]), np.bytes_("x")
    f["history/0"], f["history/1"] = np.ones(2), np.ones(3)


def changed(name, **keywords):
    def fill(f):
        good_state(f)
        del f[name]
        if keywords:
            f.create_dataset(name, **keywords)

    return fill


STATES = {
    "no iter": (changed("iter"), "holds no /iter and /history"),
    "no history": (changed("history"), "holds no /iter and /history"),
    "iter below 0": (changed("iter", data=np.int32([-5])), "the iteration is -5"),
    "iter beyond an int": (changed("iter", data=2**31), "the iteration is 2147483648"),
    "two iter": (changed("iter", data=[1, 2]), r"/iter is not a single whole number"),
    "a fraction": (changed("iter", data=1.5), "/iter is not a whole number"),
    "a text": (changed("iter", data=b"4"), "/iter is not a whole number"),
    "current_step below 0": (changed("current_step", data=-1), "the current_step is -1"),
    "learned_net is a number": (changed("learned_net", data=1), "/learned_net is not a string"),
    "two learned_net": (
        changed("learned_net", data=[b"a", b"b"]),
        "/learned_net is not a single string",
    ),
    "a gap in the history": (changed("history/0"), "/history has 1 members, but no blob 0"),
    "a history of text": (changed("history/1", data=b"x"), "/history/1 does not hold numbers"),
}


@pytest.mark.parametrize("case", STATES)
def test_files_that_are_not_states(tmp_path, case):
    path = tmp_path / "s.solverstate.h5"
    h5(path, good_state)
    assert snapshot.read_solverstate(path).iter == 4
    h5(path, STATES[case][0])
    with pytest.raises(caffe.CaffeError) as caught:
        snapshot.read_solverstate(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert STATES[case][1] in str(caught.value)


def state(**keywords):
    return caffe_pb2.SolverState(**{"iter": 4, "learned_net": "x", **keywords})


def shaped(dims, count=1, **keywords):
    blob = caffe_pb2.BlobProto(data=[0] * count, **keywords)
    blob.shape.dim.extend(dims)
    return state(history=[blob])


BINARY = {
    "iter below 0": (state(iter=-5), "the iteration is -5; it must be from 0 to 2147483647"),
    "current_step below 0": (state(current_step=-1), "the current_step is -1"),
    "no iter": (caffe_pb2.SolverState(learned_net="x"), "holds no iteration"),
    "an axis below 0": (shaped([-1, -1]), "history blob 0: a blob cannot have the shape (-1, -1)"),
    "an old axis below 0": (
        state(history=[caffe_pb2.BlobProto(num=-1, data=[0])]),
        "cannot have the shape (-1, 0, 0, 0)",
    ),
    "a product beyond 64 bits": (shaped([2**31 - 1] * 3), "holds 1 values"),
    "an axis beyond an int": (shaped([2**40]), "cannot have the shape (1099511627776)"),
    "33 axes": (shaped([1] * 33), "cannot have the shape (1, 1"),
    "too few values": (shaped([2, 3], 5), "a blob of shape (2, 3) holds 5 values"),
    "no values": (shaped([2, 3], 0), "a blob of shape (2, 3) holds 0 values"),
    "a diff of another length": (shaped([2], 2, diff=[1]), "a blob of shape (2,) holds 1 values"),
}


@pytest.mark.parametrize("case", BINARY)
def test_files_that_are_not_binary_states(tmp_path, case):
    path = tmp_path / "s.solverstate"
    path.write_bytes(BINARY[case][0].SerializeToString())
    with pytest.raises(caffe.CaffeError) as caught:
        snapshot.read_solverstate(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert BINARY[case][1] in str(caught.value)


def test_blobs_by_caffes_rules(tmp_path):
    """Old shape fields precede `shape`, doubles precede floats; no shape means one number."""
    both = caffe_pb2.BlobProto(
        num=1, channels=1, height=2, width=1, data=[1, 2], double_data=[3, 4]
    )
    both.shape.dim.append(7)
    path = tmp_path / "s"
    path.write_bytes(state(history=[both, caffe_pb2.BlobProto(data=[5])]).SerializeToString())
    first, second = snapshot.read_solverstate(path).history
    assert first.tolist() == [[[[3], [4]]]]
    assert second.shape == ()
    assert second == 5


@pytest.mark.parametrize(
    "name",
    sorted(p.name for p in CASES.glob("*") if ".solverstate" in p.name or ".caffemodel" in p.name),
)
def test_damaged_files_of_a_report(name):
    """Each is refused in one sentence, except one: learned_net may be bytes that are not UTF-8."""
    read = snapshot.read_solverstate if "solverstate" in name else weights_file.read_caffemodel
    try:
        found = read(CASES / name)
    except caffe.CaffeError as error:
        assert str(error).startswith(str(CASES / name))
        assert "\n" not in str(error)
    else:
        assert name == "solverstate_1.solverstate"
        assert os.fsencode(found.learned_net) == b"z_iter_3.caffemode\x9d"


def test_a_name_that_is_not_utf_8(net_from, tmp_path):
    """The names in a Latin-1 prototxt and in the weights that Caffe wrote for it are equal."""
    path = tmp_path / "w.caffemodel"
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="caf?", type="InnerProduct")
    for shape in ([3, 3], [3]):
        layer.blobs.add(data=np.full(np.prod(shape), 7)).shape.dim.extend(shape)
    path.write_bytes(net.SerializeToString().replace(b"caf?", b"caf\xe9"))
    assert list(weights_file.read_caffemodel(path)) == ["café"]
    with h5py.File(tmp_path / "w.h5", "w") as f:
        group = h5py.h5g.create(f.create_group("data").id, b"caf\xe9")
        h5py.Group(group)["0"] = np.ones(3)
    assert list(weights_file.read_caffemodel(tmp_path / "w.h5")) == ["café"]
    (tmp_path / "latin.prototxt").write_bytes(net_of(["café"]).encode("latin-1"))
    mine = caffe.Net(str(tmp_path / "latin.prototxt"), str(path), caffe.TEST)
    assert (mine.params["café"][0].data == 7).all()


@pytest.mark.parametrize(
    "read", [weights_file.read_caffemodel, snapshot.read_solverstate, weights_file.read_blob_file]
)
def test_only_regular_files_are_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "is a FIFO"),
        (tmp_path, "is a folder"),
        ("/dev/zero", "is a device"),
    ):
        with pytest.raises(caffe.CaffeError, match=message):
            read(path)


# ------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("room", [0, 1000, 100_000, 290_000])
@pytest.mark.parametrize(
    "name", ["w.caffemodel", "w.caffemodel.h5", "s.solverstate", "s.solverstate.h5"]
)
def test_a_full_disk_is_one_sentence(tmp_path, capfd, name, room):
    """The old file stays, no half-written file is left, and HDF5 itself prints nothing."""
    path, blobs = tmp_path / name, [[Blob((100, 100)), Blob((500, 100))], [Blob((300, 50))]]
    path.write_text("the last one")
    message = caffe_pb2.NetParameter()
    message.layer.add(name="a"), message.layer.add(name="b")
    with files_of_at_most(room), pytest.raises(caffe.CaffeError) as caught:
        if name == "w.caffemodel":
            weights_file.write_caffemodel(path, message, blobs)
        elif name == "w.caffemodel.h5":
            weights_file.write_caffemodel_h5(path, ["a", "b"], blobs, [[True, True], [True]])
        else:
            snapshot.write_solverstate(
                path, 4, "x", 0, [blob.tensor() for layer in blobs for blob in layer]
            )
    assert str(caught.value) == f"{path}: cannot be written (File too large)"
    assert os.listdir(tmp_path) == [name]
    assert path.read_text() == "the last one"
    assert capfd.readouterr() == ("", "")


def test_a_missing_folder_is_one_sentence(net_from, tmp_path):
    net = net_from(net_of(["a"]))
    for save in (net.save, net.save_hdf5):
        with pytest.raises(
            caffe.CaffeError, match=r"w: cannot be written .*; does the folder exist?"
        ):
            save(str(tmp_path / "no" / "w"))


def test_a_sink_that_outlives_its_file_is_quiet(tmp_path):
    """Python 3.13 reports errors while the sink is freed, which is after its file was closed."""
    with open(tmp_path / "w.h5", "wb") as file:
        sink = hdf5_file._Sink(file)
    sink.flush()
    sink.close()
    assert sink.error is None
