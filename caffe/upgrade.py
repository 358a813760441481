"""Older forms of net and solver files, brought up to Caffe 1.0's form on reading (Caffe: upgrade_proto.cpp)."""

from caffe import log
from caffe.error import CaffeError
from caffe.upgrade_old_layers import upgrade_layers

SOLVER_TYPES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]


def upgrade_net(net, name):
    """Bring `net` (NetParameter) up to date in place.

    * old `layers` entries (V0, V1) become `layer` (see upgrade_old_layers.py);
    * `input` with `input_dim` or `input_shape` becomes an Input layer at the front;
    * transformation fields in data_param, image_data_param and window_data_param move to transform_param;
    * three `param` entries of a BatchNorm layer get lr_mult 0 and decay_mult 0: its statistics are not learnt.  Their names
      stay, and statistics of one name are shared.

    Raises
    ------
    CaffeError
        For what cannot be upgraded, named with the file.
    """
    if net.layers:
        upgrade_layers(net, name)
    _move_transform_fields(net, name)
    _move_inputs(net, name)
    for layer in net.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0


def _move_transform_fields(net, name):
    for layer in net.layer:
        for field in ("data_param", "image_data_param", "window_data_param"):
            if not layer.HasField(field):
                continue
            old = getattr(layer, field)
            for moved in ("scale", "mean_file", "crop_size", "mirror"):
                if old.HasField(moved):
                    setattr(layer.transform_param, moved, getattr(old, moved))
                    old.ClearField(moved)
                    log.warning("upgrade_proto.cpp:70", f"{name}: layer {layer.name}: {field}.{moved} moved to transform_param")


def _move_inputs(net, name):
    if not net.input:
        return
    layer = type(net)().layer.add(name="input", type="Input")
    layer.top.extend(net.input)
    if net.input_shape:
        shapes = [list(s.dim) for s in net.input_shape]
    else:
        dims = list(net.input_dim)
        if len(dims) != 4 * len(net.input):
            raise CaffeError(
                f"{name}: {len(net.input)} `input` want {4 * len(net.input)} `input_dim` (four each), there are {len(dims)}"
            )
        shapes = [dims[i : i + 4] for i in range(0, len(dims), 4)]
    if len(shapes) != len(net.input):
        raise CaffeError(f"{name}: {len(net.input)} `input` but {len(shapes)} `input_shape`")
    for shape in shapes:
        layer.input_param.shape.add().dim.extend(shape)
    rest = [type(layer).FromString(other.SerializeToString()) for other in net.layer]
    del net.layer[:]
    net.layer.add().CopyFrom(layer)
    net.layer.extend(rest)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def upgrade_solver(solver, name):
    """Turn the old `solver_type` into `type`, in place; both at once are refused."""
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise CaffeError(f"{name}: has both `type` and the old `solver_type`; keep `type`")
        solver.type = SOLVER_TYPES[solver.solver_type]
        solver.ClearField("solver_type")
