"""Nets written in Python: ``n = caffe.NetSpec(); n.conv1 = L.Convolution(n.data, kernel_size=3, num_output=8)``.

``from caffe import layers as L, params as P``: L.<Type>(bottoms..., fields...) makes a layer, P.<Message>.<VALUE> is a value
of an enum of <Message>Parameter.  Field names are those of caffe.proto; ``str(n.to_proto())`` is the prototxt.
"""

from collections import Counter, OrderedDict

from caffe.error import CaffeError
from caffe.proto import caffe_pb2


def _own_fields():
    """{layer type: its own field of LayerParameter}, e.g. {'ReLU': 'relu_param'}."""
    fields = (f for f in caffe_pb2.LayerParameter.DESCRIPTOR.fields if f.name.endswith("_param") and f.message_type)
    return {f.message_type.name.removesuffix("Parameter"): f.name for f in fields}


OWN_FIELDS = _own_fields()


def assign(message, name, value):
    """Set a field of a protobuf message from Python: a dict for a message, a list or one value for a repeated field."""
    if name not in message.DESCRIPTOR.fields_by_name:
        raise CaffeError(f"{message.DESCRIPTOR.name} has no field '{name}'")
    field = getattr(message, name)
    if hasattr(field, "extend"):
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, dict):
                entry = field.add()
                for key, inner in item.items():
                    assign(entry, key, inner)
            elif hasattr(item, "DESCRIPTOR"):
                field.add().CopyFrom(item)
            else:
                field.append(item)
    elif isinstance(value, dict):
        field.SetInParent()
        for key, inner in value.items():
            assign(field, key, inner)
    elif hasattr(value, "DESCRIPTOR"):
        field.CopyFrom(value)
    else:
        setattr(message, name, value)


class Top:
    """Output `n` of a layer; an argument of the layers that read it."""

    def __init__(self, fn, n):
        self.fn, self.n = fn, n

    def to_proto(self):
        """NetParameter of all layers that this top needs."""
        return to_proto(self)


class Function:
    """A layer to be: its type, its bottoms, its fields.

    Keywords besides the layer's fields: ``ntop`` (number of tops, default 1), ``in_place`` (the tops are the bottoms),
    ``name`` (of the layer; default that of its first top).
    """

    def __init__(self, type_name, inputs, params):
        self.type_name = type_name
        for i, bottom in enumerate(inputs):
            if not isinstance(bottom, Top):
                raise TypeError(f"{type_name} input {i} is not a Top (type is {type(bottom).__name__})")
        self.inputs = inputs
        self.params = dict(params)
        self.ntop = self.params.pop("ntop", 1)
        self.in_place = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _name(self, names, counts):
        if self not in names:
            if "name" in self.params:
                names[self] = self.params["name"]
            else:
                counts[self.type_name] += 1
                names[self] = f"{self.type_name}{counts[self.type_name]}"
        return names[self]

    def _top_name(self, top, names, counts):
        if self.in_place:
            bottom = self.inputs[top.n]
            return bottom.fn._top_name(bottom, names, counts)
        if top not in names:
            counts[f"{self.type_name} top"] += 1
            names[top] = self._name(names, counts) + (str(top.n + 1) if self.ntop > 1 else "")
        return names[top]

    def _add(self, layers, names, counts):
        """Append this layer, after those it reads, to {Function: LayerParameter}."""
        if self in layers:
            return
        bottoms = []
        for bottom in self.inputs:
            bottom.fn._add(layers, names, counts)
            bottoms.append(bottom.fn._top_name(bottom, names, counts))
        layer = caffe_pb2.LayerParameter(type=self.type_name, bottom=bottoms)
        layer.top.extend(bottoms[: self.ntop] if self.in_place else [self._top_name(t, names, counts) for t in self.tops])
        layer.name = self._name(names, counts)
        own = OWN_FIELDS.get(self.type_name)
        for key, value in self.params.items():
            if key == "name":
                continue
            inside = own and key in getattr(layer, own).DESCRIPTOR.fields_by_name
            if inside and not key.endswith("param"):
                assign(getattr(layer, own), key, value)
            elif key in layer.DESCRIPTOR.fields_by_name:
                assign(layer, key, value)
            elif inside:
                assign(getattr(layer, own), key, value)
            else:
                raise CaffeError(f"layer '{layer.name}' ({self.type_name}) has no field '{key}'")
        layers[self] = layer


def _net(tops, names):
    layers, counts = {}, Counter()
    for top in tops:
        (top.fn if isinstance(top, Top) else top)._add(layers, names, counts)
    net = caffe_pb2.NetParameter()
    net.layer.extend(layers.values())
    return net


def to_proto(*tops):
    """NetParameter of all layers that `tops` need."""
    return _net(tops, {})


class NetSpec:
    """A net, a top an attribute (or an item): its name is that of the attribute."""

    def __init__(self):
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name, value):
        self.tops[name] = value

    def __getattr__(self, name):
        if name in self.tops:
            return self.tops[name]
        raise AttributeError(name)

    __setitem__ = __setattr__

    def __getitem__(self, name):
        return self.tops[name]

    def __delattr__(self, name):
        del self.tops[name]

    def __delitem__(self, name):
        del self.tops[name]

    def to_proto(self):
        """NetParameter of all layers, in the order in which they need each other."""
        names = {}
        for name, top in self.tops.items():
            names[top] = name
            fn = top.fn if isinstance(top, Top) else top
            if "name" not in fn.params and fn not in names and (not isinstance(top, Top) or top.n == 0):
                names[fn] = name
        return _net(self.tops.values(), names)


def layer_function(type_name):
    """The function behind L.<type_name>."""

    def make(*inputs, **fields):
        function = Function(type_name, inputs, fields)
        if function.ntop == 0:
            return function
        return function.tops[0] if function.ntop == 1 else function.tops

    make.__name__ = type_name
    return make


class _Enums:
    def __init__(self, message):
        self._message = message

    def __getattr__(self, name):
        return getattr(self._message, name)


class Parameters:
    """P: P.Pooling.MAX is PoolingParameter.MAX."""

    def __getattr__(self, name):
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"caffe.proto has no message {name}Parameter")
        return _Enums(message)


params = Parameters()
