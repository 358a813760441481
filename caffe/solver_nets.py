"""The nets of a solver: one to train and any number to test, each from a file or from the solver's
prototxt itself.
"""

import os

from caffe import log, prototxt
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.pycaffe import Net


class _SolverNet(Net):
    """A Net made from a NetParameter instead of a file."""

    def __init__(self, param, name):
        super(Net, self).__init__(param, name)


def _sources(param, file):
    """{field: (where the net comes from, how to read it, its file)} for every way in which the
    solver names a net.
    """
    found = {}
    for field in ("train_net_param", "train_net", "net_param", "net"):
        if not param.HasField(field):
            continue
        given = getattr(param, field)
        if field.endswith("_param"):
            found[field] = (f"specified in {field}.", lambda net=given: net, file)
        else:
            found[field] = (
                f"from {field} file: {given}",
                lambda path=given: prototxt.read_net(path),
                given,
            )
    return found


def _made(param, name, phase, state, solver_param):
    """A net with the phase, then its own state, then the solver's; with the solver's `weights`."""
    net_param = caffe_pb2.NetParameter()
    net_param.CopyFrom(param)
    whole = caffe_pb2.NetState(phase=phase)
    whole.MergeFrom(net_param.state)
    if state is not None:
        whole.MergeFrom(state)
    net_param.state.CopyFrom(whole)
    net = _SolverNet(net_param, name)
    for entry in solver_param.weights:
        for path in entry.split(","):
            log.info("solver.cpp:72", f"Finetuning from {path.strip()}")
            net.copy_trained_layers(path.strip())
    return net


def train_net(param, file: str) -> Net:
    """The net to train.

    Parameters
    ----------
    param : SolverParameter
    file : str
        The solver's file, for errors.

    Raises
    ------
    CaffeError
        The solver names no net, or more than one.
    """
    found = _sources(param, file)
    if len(found) != 1:
        named = ", ".join(found) or "none"
        raise CaffeError(
            f"{file}: exactly one of net, net_param, train_net, train_net_param names the net; here: {named}"
        )
    where, read, name = next(iter(found.values()))
    log.info("solver.cpp:102", f"Creating training net {where}")
    return _made(read(), name, caffe_pb2.TRAIN, param.train_state, param)


def test_nets(param, file: str, trained: Net) -> list:
    """The nets to test, which use the parameters of `trained`.

    Parameters
    ----------
    param : SolverParameter
    file : str
        The solver's file, for errors.
    trained : Net

    Raises
    ------
    CaffeError
        The numbers of test nets, test_iter and test_state disagree, or test_interval is missing.
    """
    sources = [("test_net_param", lambda net=net: net, file) for net in param.test_net_param]
    sources += [
        (f"test_net file: {path}", lambda path=path: prototxt.read_net(path), path)
        for path in param.test_net
    ]
    shared = _sources(param, file)
    for field in ("net_param", "net"):
        if field in shared:
            _, read, name = shared[field]
            text = "net_param" if field == "net_param" else f"net file: {param.net}"
            sources += [(text, read, name)] * (len(param.test_iter) - len(sources))
    if len(sources) != len(param.test_iter):
        raise CaffeError(
            f"{file}: {len(sources)} test net(s) but {len(param.test_iter)} test_iter; give one each"
        )
    if sources and param.test_interval < 1:
        raise CaffeError(f"{file}: has test nets, so test_interval must be at least 1")
    if any(count < 1 for count in param.test_iter):
        raise CaffeError(f"{file}: test_iter must be at least 1")
    if param.test_state and len(param.test_state) != len(sources):
        raise CaffeError(
            f"{file}: {len(sources)} test net(s) but {len(param.test_state)} test_state; give one each or none"
        )
    nets = []
    for i, (where, read, name) in enumerate(sources):
        log.info("solver.cpp:190", f"Creating test net (#{i}) specified by {where}")
        net = _made(
            read(), name, caffe_pb2.TEST, param.test_state[i] if param.test_state else None, param
        )
        net.share_trained_layers(trained)
        nets.append(net)
    return nets


def set_prefix(param, file: str):
    """Give the solver a snapshot_prefix as Caffe does: the solver's own name, put into the folder
    that the prefix may name.
    """
    stem = os.path.splitext(file)[0]
    if not param.snapshot_prefix:
        param.snapshot_prefix = stem
        log.info(
            "upgrade_proto.cpp:1108", f"snapshot_prefix was not specified and is set to {stem}"
        )
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = os.path.join(param.snapshot_prefix, os.path.basename(stem))
        log.info(
            "upgrade_proto.cpp:1113",
            f"snapshot_prefix was a directory and is replaced to {param.snapshot_prefix}",
        )


def check_folder(param, file: str):
    """Refuse a snapshot_prefix whose folder cannot be written."""
    folder = os.path.dirname(param.snapshot_prefix) or "."
    if not os.access(folder, os.W_OK):
        raise CaffeError(
            f"{file}: cannot write snapshots to {folder}/ (snapshot_prefix): make it with mkdir -p {folder}"
        )
