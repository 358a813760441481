"""Upgrading nets in the two oldest forms to today's `layer { type: "Convolution" }`.

The forms are V0, `layers { layer { type: "conv" } }`, and V1, `layers { type: CONVOLUTION }`.
Caffe: upgrade_proto.cpp.
"""

from collections.abc import Iterable

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from caffe import log, wire
from caffe.error import CaffeError
from caffe.proto import caffe_pb2

V1 = caffe_pb2.V1LayerParameter
Layer = caffe_pb2.LayerParameter

# V1's enum values and today's types, except those that differ only in their case
V1_TYPES = {
    "NONE": "",
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "TANH": "TanH",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "IM2COL": "Im2col",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
}

# V0's types and V1's enum values, except those that differ only in their case
V0_TYPES = {
    "conv": "CONVOLUTION",
    "images": "IMAGE_DATA",
    "innerproduct": "INNER_PRODUCT",
    "pool": "POOLING",
}

# V0's data layers, and their parameter in V1
SOURCES = {
    "data": "data_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "window_data": "window_data_param",
}
# where V0's fields are in V1: {V0 field: {V0 type: parameter.field of V1}}
V0_FIELDS = {
    "num_output": {
        "conv": "convolution_param.num_output",
        "innerproduct": "inner_product_param.num_output",
    },
    "biasterm": {
        "conv": "convolution_param.bias_term",
        "innerproduct": "inner_product_param.bias_term",
    },
    "weight_filler": {
        "conv": "convolution_param.weight_filler",
        "innerproduct": "inner_product_param.weight_filler",
    },
    "bias_filler": {
        "conv": "convolution_param.bias_filler",
        "innerproduct": "inner_product_param.bias_filler",
    },
    "pad": {"conv": "convolution_param.pad", "pool": "pooling_param.pad"},
    "kernelsize": {"conv": "convolution_param.kernel_size", "pool": "pooling_param.kernel_size"},
    "group": {"conv": "convolution_param.group"},
    "stride": {"conv": "convolution_param.stride", "pool": "pooling_param.stride"},
    "pool": {"pool": "pooling_param.pool"},
    "dropout_ratio": {"dropout": "dropout_param.dropout_ratio"},
    "local_size": {"lrn": "lrn_param.local_size"},
    "alpha": {"lrn": "lrn_param.alpha"},
    "beta": {"lrn": "lrn_param.beta"},
    "k": {"lrn": "lrn_param.k"},
    "source": {kind: f"{p}.source" for kind, p in SOURCES.items()}
    | {"infogain_loss": "infogain_loss_param.source"},
    "batchsize": {kind: f"{p}.batch_size" for kind, p in SOURCES.items()},
    "rand_skip": {"data": "data_param.rand_skip", "images": "image_data_param.rand_skip"},
    "shuffle_images": {"images": "image_data_param.shuffle"},
    "new_height": {"images": "image_data_param.new_height"},
    "new_width": {"images": "image_data_param.new_width"},
    "concat_dim": {"concat": "concat_param.concat_dim"},
    "det_fg_threshold": {"window_data": "window_data_param.fg_threshold"},
    "det_bg_threshold": {"window_data": "window_data_param.bg_threshold"},
    "det_fg_fraction": {"window_data": "window_data_param.fg_fraction"},
    "det_context_pad": {"window_data": "window_data_param.context_pad"},
    "det_crop_mode": {"window_data": "window_data_param.crop_mode"},
    "hdf5_output_param": {"hdf5_output": "hdf5_output_param"},
}
# the same for fields that every type may have
TRANSFORM_FIELDS = {
    "scale": "transform_param.scale",
    "meanfile": "transform_param.mean_file",
    "cropsize": "transform_param.crop_size",
    "mirror": "transform_param.mirror",
}


def upgrade_layers(net: caffe_pb2.NetParameter, name: str) -> None:
    """Turn the `layers` of a net into `layer`, in place.

    Parameters
    ----------
    net : NetParameter
    name : str
        The file's name, for messages.

    Raises
    ------
    CaffeError
        The net has layers of two forms, or one that does not exist any more; the message names
        file and layer.
    """
    if net.layer:
        raise CaffeError(
            f"{name}: has both `layer` and the old `layers` entries; use one form for all"
        )
    old = [layer.HasField("layer") for layer in net.layers]
    if any(old) and not all(old):
        raise CaffeError(
            f"{name}: some `layers` entries are V0 (with `layer` inside) and some V1; use one form"
            " for all"
        )
    layers = (
        [_v0_to_v1(layer, name) for layer in _without_padding(net.layers, name)]
        if any(old)
        else list(net.layers)
    )
    form = "V0" if any(old) else "V1"
    log.info(
        "upgrade_proto.cpp:20",
        f"Attempting to upgrade input file specified using deprecated {form}LayerParameter: {name}",
    )
    upgraded = [_v1_to_today(layer) for layer in layers]
    net.ClearField("layers")
    net.layer.extend(upgraded)
    log.info(
        "upgrade_proto.cpp:30",
        f"Successfully upgraded file specified using deprecated {form}LayerParameter",
    )


def _without_padding(layers: Iterable[V1], name: str) -> list[V1]:
    """The layers without V0's "padding" layers.

    Those become the `pad` of the convolutions and poolings that read them.
    """
    kept, writer = [], {}
    for layer in layers:
        layer = _copy(layer)
        for i, blob in enumerate(layer.bottom):
            source = writer.get(blob)
            if source is None or source.layer.type != "padding":
                continue
            if layer.layer.type not in ("conv", "pool"):
                raise CaffeError(
                    f"{name}: layer '{layer.layer.name}' reads the padding layer"
                    f" '{source.layer.name}'; only conv and pool can pad by themselves"
                )
            if not len(layer.bottom) == len(source.bottom) == len(source.top) == 1:
                raise CaffeError(
                    f"{name}: the padding layer '{source.layer.name}' and layer"
                    f" '{layer.layer.name}' that reads it must each have one bottom, and the"
                    " padding layer one top"
                )
            layer.layer.pad = source.layer.pad
            layer.bottom[i] = source.bottom[0]
        for blob in layer.top:
            writer[blob] = layer
        if layer.layer.type != "padding":
            kept.append(layer)
    return kept


def _copy(message: wire.M) -> wire.M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _v0_to_v1(outer: V1, name: str) -> V1:
    """A V0 entry as V1.

    As in Caffe, a field that the layer's type does not have is left out and logged.
    """
    inner, new = outer.layer, V1()
    where = f"{name}: layer '{inner.name}'"
    new.bottom.extend(outer.bottom)
    new.top.extend(outer.top)
    new.name = inner.name
    kind = inner.type
    value = V0_TYPES.get(kind, kind.upper())
    if kind:
        if kind != kind.lower() or value not in V1.LayerType.DESCRIPTOR.values_by_name:
            raise CaffeError(f"{where}: '{kind}' is not a layer type of the V0 form")
        new.type = V1.LayerType.Value(value)
    for field, content in inner.ListFields():
        if field.name in ("name", "type"):
            continue
        if field.name in ("blobs", "blobs_lr", "weight_decay"):
            getattr(new, field.name).extend(content)
            continue
        path = V0_FIELDS.get(field.name, {}).get(kind) or TRANSFORM_FIELDS.get(field.name)
        if path is None:
            text = f"Unknown parameter {field.name} for layer type {kind}; continuing anyway."
            log.error("upgrade_proto.cpp:26", f"{where}: {text}")
        else:
            _set(new, path, content, field.enum_type)
    return new


def _set(message: Message, path: str, content: object, enum_type: EnumDescriptor | None):
    """Set or extend a message's `parameter.field`; `enum_type` is that of `content`."""
    *parents, last = path.split(".")
    for parent in parents:
        message = getattr(message, parent)
    field = message.DESCRIPTOR.fields_by_name[last]
    if enum_type is not None:  # V0 has its own enum of pooling methods, with the same names
        content = field.enum_type.values_by_name[enum_type.values_by_number[content].name].number
    if field.message_type is not None:
        getattr(message, last).CopyFrom(content)
    elif isinstance(getattr(message, last), (int, float, str, bool, bytes)):
        setattr(message, last, content)
    else:
        getattr(message, last).append(content)


def _v1_to_today(old: V1) -> Layer:
    """A V1 entry in today's form."""
    new = Layer()
    new.name = old.name
    value = V1.LayerType.Name(old.type)
    new.type = V1_TYPES.get(value, value.title().replace("_", ""))
    lists = {
        "blobs_lr": "lr_mult",
        "weight_decay": "decay_mult",
        "param": "name",
        "blob_share_mode": "share_mode",
    }
    for field, content in old.ListFields():
        if field.name in ("name", "type", "layer"):
            continue
        if field.name in lists:
            for i, item in enumerate(content):
                while len(new.param) <= i:
                    new.param.add()
                setattr(new.param[i], lists[field.name], item)
        elif field.name in ("bottom", "top", "loss_weight"):
            getattr(new, field.name).extend(content)
        elif field.name in ("blobs", "include", "exclude"):
            for item in content:
                getattr(new, field.name).add().CopyFrom(item)
        else:
            getattr(new, field.name).CopyFrom(content)
    return new
