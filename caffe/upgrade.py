"""Older forms of net and solver files, brought up to Caffe 1.0's form on reading (Caffe:
upgrade_proto.cpp).
"""

from caffe import log
from caffe.error import CaffeError
from caffe.upgrade_old_layers import upgrade_layers

SOLVER_TYPES = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]


def upgrade_net(net, name):
    """Bring `net` (NetParameter) up to date in place.

    * old `layers` entries (V0, V1) become `layer` (see upgrade_old_layers.py);
    * `input` with `input_dim` or `input_shape` becomes an Input layer at the front, without them it goes;
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
                    log.warning(
                        "upgrade_proto.cpp:70",
                        f"{name}: layer {layer.name}: {field}.{moved} moved to transform_param",
                    )


def _move_inputs(net, name):
    """`input` as an Input layer; without any dims it is dropped, as in an old .caffemodel or beside
    an Input layer.
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


def _input_shapes(net, name):
    """The shape of each `input`; more shapes or dims than the inputs need are ignored, as in Caffe."""
    count = len(net.input)
    if net.input_shape:
        if len(net.input_shape) < count:
            raise CaffeError(
                f"{name}: {count} `input` but {len(net.input_shape)} `input_shape`; give one each"
            )
        return [shape.dim for shape in net.input_shape[:count]]
    dims = net.input_dim
    if len(dims) < 4 * count:
        raise CaffeError(
            f"{name}: {count} `input` need {4 * count} `input_dim` (four each), there are {len(dims)}"
        )
    return [dims[i : i + 4] for i in range(0, 4 * count, 4)]


def upgrade_solver(solver, name):
    """Turn the old `solver_type` into `type`, in place; both at once are refused.

    Nets inside a solver (net_param, train_net_param, test_net_param) are upgraded where nets are
    built.
    """
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise CaffeError(f"{name}: has both `type` and the old `solver_type`; keep `type`")
        solver.type = SOLVER_TYPES[solver.solver_type]
        solver.ClearField("solver_type")
