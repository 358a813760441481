"""Folders, FIFOs and devices are refused at once, wherever a file can be named."""

import os

import h5py
import pytest

import caffe
from caffe import cli, regular_file
from caffe.database import LMDB
from caffe.tools import (
    compute_image_mean,
    convert_imageset,
    extract_features,
    parse_log,
    upgrade_net_proto_binary,
)

NET = """layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
"""


@pytest.fixture(params=["FIFO", "device", "folder"])
def odd(tmp_path, request):
    """(kind, path): a FIFO, a device or a folder at that path."""
    path = tmp_path / "odd"
    if request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return request.param, path


@pytest.fixture
def solver(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1'
        f' snapshot_prefix: "{tmp_path}/s"'
    )
    return path


def test_check_refuses_what_is_not_a_regular_file(tmp_path, odd):
    kind, path = odd
    with pytest.raises(caffe.CaffeError, match=f"odd: is a {kind}; a file is needed here"):
        regular_file.check(path)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(caffe.CaffeError, match="link: No such file"):
        regular_file.check(tmp_path / "link")
    (tmp_path / "file").write_text("")
    regular_file.check(tmp_path / "link")
    with pytest.raises(caffe.CaffeError):
        regular_file.check("a\0b")


def test_the_shells_own_pipes_are_read(tmp_path):
    ours, theirs = os.pipe()
    regular_file.check(f"/dev/fd/{ours}", pipes=True)
    with pytest.raises(caffe.CaffeError, match="is a FIFO"):
        regular_file.check(f"/dev/fd/{ours}")
    os.close(ours), os.close(theirs)


def test_wherever_a_command_takes_a_file(odd, solver, tmp_path, fatal):
    kind, path = odd
    net = tmp_path / "net.prototxt"
    message = f"{path}: is a {kind}"
    assert message in fatal(cli.main, "train", "-solver", path)
    assert message in fatal(cli.main, "train", "-solver", solver, "-weights", path)
    assert message in fatal(cli.main, "train", "-solver", solver, "-snapshot", path)
    assert message in fatal(cli.main, "test", "-model", path, "-weights", path)
    assert message in fatal(cli.main, "test", "-model", net, "-weights", path)
    assert message in fatal(cli.main, "time", "-model", path)
    assert message in fatal(cli.main, "train", f"-flagfile={path}")
    assert message in fatal(extract_features.main, path, net, "y", tmp_path / "db", 1, "lmdb")
    assert message in fatal(upgrade_net_proto_binary.main, path, tmp_path / "out")
    assert message in fatal(parse_log.main, path, tmp_path)
    assert message in fatal(convert_imageset.main, f"{tmp_path}/", path, tmp_path / "db")


def test_names_that_end_in_h5(odd, solver, tmp_path, fatal):
    kind, path = odd
    for end in (".solverstate.h5", ".caffemodel.h5"):
        path.rename(tmp_path / f"odd{end}")
        flag = "-snapshot" if "solverstate" in end else "-weights"
        assert f"odd{end}: is a {kind}" in fatal(
            cli.main, "train", "-solver", solver, flag, tmp_path / f"odd{end}"
        )
        (tmp_path / f"odd{end}").rename(path)


def test_files_that_are_named_in_files(odd, solver, tmp_path, fatal):
    """The net that a solver names, the weights that a state names, the images of a list."""
    kind, path = odd
    text = solver.read_text()
    solver.write_text(text.replace(f"{tmp_path}/net.prototxt", str(path)))
    assert f"{path}: is a {kind}" in fatal(cli.main, "train", "-solver", solver)
    solver.write_text(text)
    trained = caffe.get_solver(str(solver))
    model, state = trained.snapshot()
    os.remove(model)
    os.rename(path, model)
    assert f"{model}: is a {kind}" in fatal(
        cli.main, "train", "-solver", solver, "-snapshot", state
    )
    os.rename(model, path)
    (tmp_path / "list.txt").write_text("odd 1\n")
    line = fatal(convert_imageset.main, f"{tmp_path}/", tmp_path / "list.txt", tmp_path / "db")
    assert "none of its 1 images can be read" in line


def test_lmdbs(odd, tmp_path, fatal):
    kind, path = odd
    if kind != "folder":
        with pytest.raises(caffe.CaffeError, match="odd: no such LMDB folder"):
            LMDB(str(path))
    (tmp_path / "db").mkdir()
    path.rename(tmp_path / "db" / "data.mdb")
    assert "db: is not an LMDB" in fatal(compute_image_mean.main, tmp_path / "db")


def test_hdf5_source_lists(odd, net_from, tmp_path):
    kind, path = odd
    text = (
        'layer {{ name: "d" type: "HDF5Data" top: "x"'
        ' hdf5_data_param {{ source: "{}" batch_size: 1 }} }}'
    )
    with pytest.raises(caffe.CaffeError, match=f"odd: is a {kind}"):
        net_from(text.format(path))
    (tmp_path / "list.txt").write_text(f"{path}\n")
    with pytest.raises(caffe.CaffeError, match=f"odd cannot be read as HDF5 .*is a {kind}"):
        net_from(text.format(tmp_path / "list.txt"))
    with h5py.File(tmp_path / "fine.h5", "w") as f:
        f["x"] = [1.0]
    (tmp_path / "list.txt").write_text(f"{tmp_path}/fine.h5\n")
    net_from(text.format(tmp_path / "list.txt")).close()
