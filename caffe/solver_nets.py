"""A solver's nets: one to train, any number to test, from files or the solver's prototxt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from caffe import log, mode, processes, prototxt
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import NetParameter, NetState, SolverParameter
from caffe.pycaffe import Net


@dataclass
class Source:
    """Where a net of the solver comes from.

    Attributes
    ----------
    field : str
        The field of the solver's prototxt that gives it.
    file : str
        The net's file, or the solver's if the net is written there.
    read : callable
        Returns the NetParameter.
    """

    field: str
    file: str
    read: Callable[[], NetParameter]

    @property
    def is_file(self) -> bool:
        """Whether the net has a file of its own."""
        return not self.field.endswith("_param")

    @property
    def text(self) -> str:
        """Field and file, as Caffe logs them."""
        return f"{self.field} file: {self.file}" if self.is_file else self.field


def _source(field: str, given: str | NetParameter, file: str) -> Source:
    """The source of a net that `field` of the solver `file` gives."""
    if isinstance(given, NetParameter):
        return Source(field, file, lambda: given)
    return Source(field, given, lambda: prototxt.read_net(given))


def _build(
    source: Source, phase: int, state: NetState | None, solver_param: SolverParameter
) -> Net:
    """Build a net, and load the solver's `weights` into it.

    Its state is the phase, overlaid with the net's own state, and that with the solver's.
    """
    param = NetParameter()
    param.CopyFrom(source.read())
    whole = NetState(phase=phase)
    whole.MergeFrom(param.state)
    if state is not None:
        whole.MergeFrom(state)
    param.state.CopyFrom(whole)
    net = Net.from_param(param, source.file)
    for entry in solver_param.weights:
        for path in entry.split(","):
            log.info("solver.cpp:72", f"Finetuning from {path.strip()}")
            net.copy_trained_layers(path.strip())
    return net


def train_net(param: SolverParameter, file: str) -> Net:
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
    fields = ("train_net_param", "train_net", "net_param", "net")
    found = [_source(f, getattr(param, f), file) for f in fields if param.HasField(f)]
    if len(found) != 1:
        named = ", ".join(source.field for source in found) or "none"
        raise CaffeError(
            f"{file}: exactly one of net, net_param, train_net, train_net_param names the net;"
            f" here: {named}"
        )
    (source,) = found
    end = f"from {source.text}" if source.is_file else f"specified in {source.text}."
    log.info("solver.cpp:102", f"Creating training net {end}")
    return _build(source, caffe_pb2.TRAIN, param.train_state, param)


def test_nets(param: SolverParameter, file: str, trained: Net) -> list[Net]:
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
    if processes.together() and not mode.root_solver():
        return []  # the root alone tests
    sources = [_source("test_net_param", net, file) for net in param.test_net_param]
    sources += [_source("test_net", path, file) for path in param.test_net]
    for field in ("net_param", "net"):
        if param.HasField(field):  # one test net per test_iter that is still without one
            source = _source(field, getattr(param, field), file)
            sources += [source] * (len(param.test_iter) - len(sources))
    if len(sources) != len(param.test_iter):
        raise CaffeError(
            f"{file}: {len(sources)} test net(s) but {len(param.test_iter)} test_iter; give one"
            " each"
        )
    if sources and param.test_interval < 1:
        raise CaffeError(f"{file}: has test nets, so test_interval must be at least 1")
    if any(count < 1 for count in param.test_iter):
        raise CaffeError(f"{file}: test_iter must be at least 1")
    if param.test_state and len(param.test_state) != len(sources):
        raise CaffeError(
            f"{file}: {len(sources)} test net(s) but {len(param.test_state)} test_state; give one"
            " each or none"
        )
    nets = []
    for i, source in enumerate(sources):
        log.info("solver.cpp:190", f"Creating test net (#{i}) specified by {source.text}")
        state = param.test_state[i] if param.test_state else None
        net = _build(source, caffe_pb2.TEST, state, param)
        net.share_trained_layers(trained)
        nets.append(net)
    return nets
