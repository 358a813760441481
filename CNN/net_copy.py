"""The copy of a net that is trained in a work folder.

A part of train_cnn.py.
"""

import shutil
from pathlib import Path

from caffe import prototxt
from caffe.error import CaffeError
from caffe.net_parameter import filter_net
from caffe.proto import caffe_pb2
from texttopicnet import artefacts
from texttopicnet.errors import UserError


def check_lmdbs(
    solver: caffe_pb2.SolverParameter, source: Path, folder: Path, made_by: str
) -> None:
    """Raise UserError unless the LMDBs that the solver's net reads are in the work folder."""
    try:
        net = prototxt.read_net(source / net_of(solver))
        net.state.CopyFrom(solver.train_state)
        net.state.phase = caffe_pb2.TRAIN
        layers = filter_net(net, solver.net).layer
    except CaffeError as error:
        raise UserError(str(error)) from error
    for layer in layers:
        if layer.type == "Data":
            artefacts.existing(folder / layer.data_param.source, made_by)


def net_of(solver: caffe_pb2.SolverParameter) -> str:
    """The file that a solver trains; UserError if it names none."""
    if not (solver.net or solver.train_net):
        raise UserError('the solver names no net: give it a line net: "train_val.prototxt"')
    return solver.net or solver.train_net


def copy_net(source: Path, folder: Path, classes: int | None = None) -> None:
    """Copy a net's prototxts and Python layers into its work folder, if that is another one.

    Parameters
    ----------
    source, folder : Path
    classes : int, optional
        num_output of the last InnerProduct layer in the copies of the nets.

    Raises
    ------
    UserError
        The net itself would have to change.
    """
    same = source.resolve() == folder.resolve()
    if not same:
        for path in (*source.glob("*.prototxt"), *source.glob("*.py")):
            shutil.copyfile(path, folder / path.name)
    if classes is None:
        return
    for name in ("train_val.prototxt", "deploy.prototxt"):
        if not (source / name).is_file():
            continue
        net = read_net(source / name)
        last = [layer for layer in net.layer if layer.type == "InnerProduct"][-1:]
        if last and last[0].inner_product_param.num_output != classes:
            if same:
                raise UserError(
                    f"{source / name} has {last[0].inner_product_param.num_output} classes, not"
                    f" {classes}: give --into, so that the net's own files stay as they are"
                )
            last[0].inner_product_param.num_output = classes
            text = f"# {net_name(source / name)} for {classes} classes\n{prototxt.to_text(net)}"
            (folder / name).write_text(text, encoding="utf-8")


def net_name(path: Path) -> str:
    """CNN/<net>/<file>."""
    return "/".join(path.parts[-3:])


def read_net(path: Path) -> caffe_pb2.NetParameter:
    """Read a net; a wrong one is a UserError."""
    try:
        return prototxt.read_net(path)
    except CaffeError as error:
        raise UserError(str(error)) from error
