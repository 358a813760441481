"""Upgrading older forms of nets and solvers to that of Caffe 1.0 when they are read.

Caffe: upgrade_proto.cpp.
"""

from collections.abc import Sequence

from caffe import log
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.upgrade_old_layers import upgrade_layers

SOLVER_TYPES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]
NetParameter = caffe_pb2.NetParameter


def upgrade_net(net: NetParameter, name: str) -> None:
    """Upgrade a net in place.

    * Old `layers` entries (V0, V1) become `layer` (see upgrade_old_layers.py).
    * `input` with `input_dim` or `input_shape` becomes an Input layer at the front; without them
      it is dropped.
    * Transformation fields in data_param, image_data_param and window_data_param move to
      transform_param.
    * Three `param` entries of a BatchNorm layer get lr_mult 0 and decay_mult 0, because its
      statistics are not learnt.  The entries keep their names; statistics with the same name are
      shared.

    Parameters
    ----------
    net : NetParameter
    name : str
        The file's name, for messages.

    Raises
    ------
    CaffeError
        Something cannot be upgraded; the message names it and the file.
    """
    if net.layers:
        upgrade_layers(net, name)
    _move_transform_fields(net, name)
    _move_inputs(net, name)
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0


def _move_transform_fields(net: NetParameter, name: str):
    for layer in net.layer:
        for field in ("data_param", "image_data_param", "window_data_param"):
            if not layer.HasField(field):
                continue
            old = getattr(layer, field)
            for moved in ("scale", "mean_file", "crop_size", "mirror"):
                if old.HasField(moved):
                    setattr(layer.transform_param, moved, getattr(old, moved))
                    old.ClearField(moved)
                    log.warning(
                        "upgrade_proto.cpp:70",
                        f"{name}: layer {layer.name}: {field}.{moved} moved to transform_param",
                    )


def _move_inputs(net: NetParameter, name: str):
    """Turn `input` into an Input layer, or drop it if it has no shape.

    An old .caffemodel has such an `input`, and so have some nets with an Input layer.
    """
    if not net.input:
        return
    if not net.input_shape and not net.input_dim:
        named = ", ".join(f"'{blob}'" for blob in net.input)
        log.warning(
            "upgrade_proto.cpp:80",
            f"{name}: `input` {named} has no shape (input_shape, input_dim) and is dropped",
        )
    else:
        front = type(net)().layer.add(name="input", type="Input", top=net.input)
        for shape in _input_shapes(net, name):
            front.input_param.shape.add().dim.extend(shape)
        net.layer.insert(0, front)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def _input_shapes(net: NetParameter, name: str) -> list[Sequence[int]]:
    """The shape of each `input`; surplus shapes and dims are ignored, as in Caffe."""
    count = len(net.input)
    if net.input_shape:
        if len(net.input_shape) < count:
            raise CaffeError(
                f"{name}: {count} `input`, but {len(net.input_shape)} `input_shape`; give one each"
            )
        return [shape.dim for shape in net.input_shape[:count]]
    dims = net.input_dim
    if len(dims) < 4 * count:
        raise CaffeError(
            f"{name}: {count} `input` need {4 * count} `input_dim` (four each), there are"
            f" {len(dims)}"
        )
    return [dims[i : i + 4] for i in range(0, 4 * count, 4)]


def upgrade_solver(solver: caffe_pb2.SolverParameter, name: str) -> None:
    """Turn the old `solver_type` into `type`, in place.

    Nets inside a solver (net_param, train_net_param, test_net_param) are upgraded when they are
    built.

    Raises
    ------
    CaffeError
        The solver has both fields.
    """
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise CaffeError(f"{name}: has both `type` and the old `solver_type`; keep `type`")
        solver.type = SOLVER_TYPES[solver.solver_type]
        solver.ClearField("solver_type")
