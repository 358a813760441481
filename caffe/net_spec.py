"""Nets written in Python, with ``from caffe import layers as L, params as P``.

``n = caffe.NetSpec(); n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=8)``

L.<Type>(bottoms..., fields...) makes a layer; P.<Message>.<VALUE> is a value of an enum of
<Message>Parameter.  Field names are those of caffe.proto.  ``str(n.to_proto())`` is the prototxt.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.message import Message

from caffe.error import CaffeError
from caffe.proto import caffe_pb2


def param_name_dict() -> dict[str, str]:
    """{layer type: its own field of LayerParameter without ``_param``}, e.g. {'ReLU': 'relu'}."""
    fields = (
        f
        for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields
        if f.name.endswith("_param") and f.message_type
    )
    return {
        f.message_type.name.removesuffix("Parameter"): f.name.removesuffix("_param") for f in fields
    }


OWN_FIELDS = {type_name: f"{name}_param" for type_name, name in param_name_dict().items()}


def assign_proto(proto: Message, name: str, val: Any) -> None:
    """Set a field of a protobuf message from Python.

    A message may be given as a dict, a repeated field as a list or as a single value.

    Raises
    ------
    CaffeError
        The message has no such field, or the field cannot hold the value.
    """
    kind = proto.DESCRIPTOR.name
    if name not in proto.DESCRIPTOR.fields_by_name:
        raise CaffeError(f"{kind} has no field '{name}'")
    field = getattr(proto, name)
    try:
        if hasattr(field, "extend"):
            for item in val if isinstance(val, (list, tuple)) else [val]:
                if isinstance(item, dict) and hasattr(field, "add"):
                    _fill(field.add(), item)
                elif hasattr(item, "DESCRIPTOR"):
                    field.add().CopyFrom(item)
                else:
                    field.append(item)
        elif isinstance(val, dict) and hasattr(field, "DESCRIPTOR"):
            _fill(field, val)
        elif hasattr(val, "DESCRIPTOR"):
            field.CopyFrom(val)
        else:
            setattr(proto, name, val)
    except (TypeError, ValueError, AttributeError) as error:
        raise CaffeError(f"{kind}: the field '{name}' cannot hold {val!r}") from error


def _fill(message: Message, values: dict[str, Any]):
    for name, value in values.items():
        assign_proto(message, name, value)


class Top:
    """Output `n` of a layer; an argument of the layers that read it."""

    def __init__(self, fn: "Function", n: int) -> None:
        self.fn, self.n = fn, n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """NetParameter of all layers that this top needs."""
        return to_proto(self)


class Function:
    """A layer before it is written: its type, its bottoms, its fields.

    Parameters
    ----------
    type_name : str
    inputs : sequence of Top
    params : dict
        The layer's fields, and ``ntop`` (number of tops, default 1) and ``in_place`` (the tops are
        the bottoms).

    Raises
    ------
    TypeError
        An input is not a Top.
    """

    def __init__(self, type_name: str, inputs: Sequence[Top], params: dict[str, Any]) -> None:
        self.type_name = type_name
        for i, bottom in enumerate(inputs):
            if not isinstance(bottom, Top):
                raise TypeError(f"{type_name} input {i} is not a Top (type is {type(bottom)})")
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))


class _Writer:
    """Writes layers as LayerParameters, each after those that it reads.

    Tops without a name, and layers without tops, are named after their type and numbered: ReLU1,
    ReLU2.
    """

    def __init__(self, names: dict[Top, str]) -> None:
        self.names = dict(names)  # {Top or Function: name}
        self.counts = Counter()
        self.layers = {}  # {Function: LayerParameter}

    def net(self) -> caffe_pb2.NetParameter:
        return caffe_pb2.NetParameter(layer=self.layers.values())

    def add(self, fn: Function) -> None:
        """Write the layers that `fn` reads, then itself; each once."""
        if fn in self.layers:
            return
        for bottom in fn.inputs:
            self.add(bottom.fn)
        layer = caffe_pb2.LayerParameter(type=fn.type_name)
        layer.bottom.extend(self._blob(bottom, fn) for bottom in fn.inputs)
        layer.top.extend(layer.bottom if fn.in_place else [self._name(top, fn) for top in fn.tops])
        layer.name = self._name(fn.tops[0] if fn.tops else fn, fn)
        for key, value in fn.params.items():
            self._set(layer, key, value)
        self.layers[fn] = layer

    def _blob(self, bottom: Top, reader: Function):
        """The name of a layer's bottom; the top of an in-place layer has the name of its bottom."""
        tops = self.layers[bottom.fn].top
        if bottom.n >= len(tops):
            raise CaffeError(
                f"top {bottom.n} of an in-place {bottom.fn.type_name}, read by a"
                f" {reader.type_name}, has no bottom"
            )
        return tops[bottom.n]

    def _name(self, part: Top | Function, fn: Function):
        if part not in self.names:
            self.counts[fn.type_name] += 1
            self.names[part] = f"{fn.type_name}{self.counts[fn.type_name]}"
        return self.names[part]

    @staticmethod
    def _set(layer: caffe_pb2.LayerParameter, key: str, value: Any) -> None:
        """Set a field of the layer's own message (convolution_param), or of LayerParameter."""
        own = getattr(layer, OWN_FIELDS.get(layer.type, ""), None)
        inside = own is not None and key in own.DESCRIPTOR.fields_by_name
        if key in layer.DESCRIPTOR.fields_by_name and (key.endswith("param") or not inside):
            assign_proto(layer, key, value)
        elif inside:
            assign_proto(own, key, value)
        else:
            remedy = (
                ""
                if own is not None
                else f"; name the message that holds it, as in convolution_param=dict({key}=...)"
            )
            raise CaffeError(f"layer '{layer.name}' ({layer.type}) has no field '{key}'{remedy}")


def to_proto(*tops: Top | Function) -> caffe_pb2.NetParameter:
    """NetParameter of all layers that `tops` need.

    Unnamed tops are named after their layer's type and numbered.
    """
    writer = _Writer({})
    for top in tops:
        writer.add(_function(top, "to_proto"))
    return writer.net()


def _function(part: Any, where: str):
    """The layer of a top; a layer without tops is returned as it is."""
    if isinstance(part, (Top, Function)):
        return part.fn if isinstance(part, Top) else part
    raise TypeError(f"{where} is not a Top (type is {type(part)})")


class NetSpec:
    """A net whose tops are attributes (or items).

    An attribute's name becomes the name of the top, and of the layer whose first top it is.
    """

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Top | Function:
        tops = self.__dict__.get("tops", {})  # absent while a copy is being made
        if name in tops:
            return tops[name]
        raise AttributeError(f"this NetSpec has no top '{name}'")

    __setitem__ = __setattr__

    def __getitem__(self, name: str) -> Top | Function:
        return self.tops[name]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    def __delitem__(self, name: str) -> None:
        del self.tops[name]

    def to_proto(self) -> caffe_pb2.NetParameter:
        """NetParameter of all layers, in the attributes' order, each after those that it reads."""
        functions = [_function(top, f"NetSpec's {name}") for name, top in self.tops.items()]
        writer = _Writer({top: name for name, top in self.tops.items()})
        for function in functions:
            writer.add(function)
        return writer.net()


def layer_function(type_name: str) -> Callable[..., Top | tuple[Top, ...] | Function]:
    """The function behind L.<type_name>."""

    def make(*inputs: Top, **fields: Any):
        function = Function(type_name, inputs, fields)
        if function.ntop == 0:
            return function
        return function.tops[0] if function.ntop == 1 else function.tops

    make.__name__ = type_name
    return make


class Layers:
    """L: L.Convolution makes a Convolution layer.

    The package ``caffe.layers`` has the same attributes.
    """

    def __getattr__(self, name: str) -> Callable[..., Top | tuple[Top, ...] | Function]:
        if name.startswith("__"):
            raise AttributeError(name)
        return layer_function(name)


class _Enums:
    """The enum values of one message."""

    def __init__(self, message: type[Message]) -> None:
        self._message = message

    def __getattr__(self, name: str) -> int:
        if name.startswith("__") or name == "_message":
            raise AttributeError(name)
        try:
            return getattr(self._message, name)
        except AttributeError as error:
            raise AttributeError(
                f"caffe.proto has no {self._message.DESCRIPTOR.name}.{name}"
            ) from error


class Parameters:
    """P: P.Pooling.MAX is PoolingParameter.MAX."""

    def __getattr__(self, name: str) -> _Enums:
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"caffe.proto has no message {name}Parameter")
        return _Enums(message)


layers = Layers()
params = Parameters()
