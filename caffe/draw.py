"""caffe.draw: a net as a graph of layers and blobs (pycaffe's draw module).

The graph has pydot's methods and text, but pydot is not needed.  SVG pictures are made by
draw_svg.py, and those of other formats by Graphviz's program `dot`.
"""

import os

from caffe import dot, upgrade
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.whole_file import renamed_when_whole

BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}
# for layers that work in place: top and bottom are one blob
NEURON_LAYER_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
LAYER_STYLE_DEFAULT = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
COLOURS = {
    "Convolution": "#FF5050",
    "Deconvolution": "#FF5050",
    "Pooling": "#FF9900",
    "InnerProduct": "#CC33FF",
}
LEARNING = ("Convolution", "Deconvolution", "InnerProduct")
RANKDIRS = ("TB", "BT", "LR", "RL")
NO_LABEL = '""'

Layer = caffe_pb2.LayerParameter
NetParameter = caffe_pb2.NetParameter


class DrawingError(CaffeError, ValueError):
    """A net or a layer that cannot be drawn as asked for; pycaffe raises ValueError."""


def get_pooling_types_dict() -> dict[int, str]:
    """{number: name} of the pooling methods, e.g. {0: 'MAX'}."""
    return {number: name for name, number in caffe_pb2.PoolingParameter.PoolMethod.items()}


def get_edge_label(layer: Layer) -> str:
    """The label of the edges to a layer's tops: its batch size or number of outputs, or '""'."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return NO_LABEL


def get_layer_lr_mult(layer: Layer) -> tuple[float, float]:
    """The lr_mult of the weights and of the bias of a Convolution, Deconvolution or InnerProduct.

    Raises
    ------
    DrawingError
        A layer of another type, or more than two `param`.
    """
    if layer.type not in LEARNING:
        raise DrawingError(f"{layer.type} layers do not have a learning rate multiplier")
    if len(layer.param) > 2:
        raise DrawingError(
            f"layer '{layer.name}' ({layer.type}): expected at most 2 param, found"
            f" {len(layer.param)}"
        )
    weights, bias = ([p.lr_mult for p in layer.param] + [1.0, 1.0])[:2]
    return weights, bias


def get_layer_label(layer: Layer, rankdir: str, display_lrm: bool = False) -> str:
    """The label of a layer, in quotes: its name, its type, and its window if it has one.

    Parameters
    ----------
    layer : LayerParameter
    rankdir : {'LR', 'RL', 'TB', 'BT'}
        The parts are side by side if the graph runs up or down, else below each other.
    display_lrm : bool
        Show lr_mult of weights and bias, unless both are 0.
    """
    kind = layer.type
    parts = [layer.name, f"({kind})"]
    if kind in ("Convolution", "Deconvolution"):
        parts += window(layer.convolution_param)
    elif kind == "Pooling":
        method = get_pooling_types_dict()[layer.pooling_param.pool]
        parts = [layer.name, f"({kind} {method})", *window(layer.pooling_param)]
    if display_lrm and kind in LEARNING and any(get_layer_lr_mult(layer)):
        parts.append("lr mult: {:.1f}, {:.1f}".format(*get_layer_lr_mult(layer)))
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    return (
        '"' + separator.join(part.replace("\\", r"\\").replace('"', r"\"") for part in parts) + '"'
    )


# title, field, the prefix of the fields with _h and _w, default
WINDOW = (
    ("kernel size", "kernel_size", "kernel", 1),
    ("stride", "stride", "stride", 1),
    ("pad", "pad", "pad", 0),
)


def window(param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter) -> list[str]:
    """Kernel size, stride and pad as text: 3, or 3x5 if the axes differ."""
    rows = []
    for title, field, side, default in WINDOW:
        if param.HasField(f"{side}_h") or param.HasField(f"{side}_w"):
            sizes = [getattr(param, f"{side}_h"), getattr(param, f"{side}_w")]
        else:
            value = getattr(param, field)  # one number in poolings, a list in convolutions
            sizes = [value] if isinstance(value, int) else list(value) or [default]
        rows.append(f"{title}: {sizes[0] if len(set(sizes)) == 1 else 'x'.join(map(str, sizes))}")
    if getattr(param, "global_pooling", False):
        rows[0] = "kernel size: global"
    return rows


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer's node, such as #FF5050."""
    return COLOURS.get(layertype, LAYER_STYLE_DEFAULT["fillcolor"])


def get_pydot_graph(
    caffe_net: NetParameter,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> dot.Dot:
    """The graph of a net: a node per layer and blob, an edge per bottom and top.

    Parameters
    ----------
    caffe_net : NetParameter
        It is not changed.
    rankdir : {'LR', 'RL', 'TB', 'BT'}
        Direction of the flow: left to right, ..., bottom to top.
    label_edges : bool
        Write the number of a layer's outputs beside the edges to its tops.
    phase : {caffe.TRAIN, caffe.TEST}, optional
        Draw only the layers of this phase.
    display_lrm : bool
        Show the learning rate multipliers.

    Returns
    -------
    caffe.dot.Dot
        With pydot's methods: to_string, create, write, get_nodes, get_edges.

    Raises
    ------
    DrawingError
        An unknown direction, or a layer that has both include and exclude rules.
    """
    if rankdir not in RANKDIRS:
        raise DrawingError(f"rankdir is one of {', '.join(RANKDIRS)}, not '{rankdir}'")
    caffe_net = upgraded(caffe_net)
    nodes, edges = {}, []
    for layer in caffe_net.layer:
        if not in_phase(layer, phase):
            continue
        name = f"{layer.name}_{layer.type}"
        style = LAYER_STYLE_DEFAULT | {"fillcolor": choose_color_by_layertype(layer.type)}
        if len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top):
            style = NEURON_LAYER_STYLE
        nodes[name] = dot.Node(get_layer_label(layer, rankdir, display_lrm), **style)
        for blob in layer.bottom:
            nodes[f"{blob}_blob"] = dot.Node(blob, **BLOB_STYLE)
            edges.append((f"{blob}_blob", name, NO_LABEL))
        for blob in layer.top:
            nodes[f"{blob}_blob"] = dot.Node(blob)  # the net's outputs keep Graphviz's plain style
            edges.append((name, f"{blob}_blob", get_edge_label(layer) if label_edges else NO_LABEL))
    graph = dot.Dot(caffe_net.name or "Net", graph_type="digraph", rankdir=rankdir)
    for node in nodes.values():
        graph.add_node(node)
    for source, target, label in edges:
        graph.add_edge(dot.Edge(nodes[source], nodes[target], label=label))
    return graph


def upgraded(net: NetParameter) -> NetParameter:
    """The net in today's form: itself, or an upgraded copy."""
    if not net.layers:
        return net
    copy = caffe_pb2.NetParameter()
    copy.CopyFrom(net)
    upgrade.upgrade_net(copy, net.name or "net")
    return copy


def in_phase(layer: Layer, phase: int | None) -> bool:
    """Whether a layer belongs to `phase`, by its include and exclude rules.

    Raises
    ------
    DrawingError
        The layer has both kinds of rules.
    """
    if phase is None:
        return True
    if layer.include and layer.exclude:
        raise DrawingError(f"layer '{layer.name}' has both include and exclude specified")
    included = not layer.include or any(
        not rule.HasField("phase") or rule.phase == phase for rule in layer.include
    )
    return included and not any(
        rule.HasField("phase") and rule.phase == phase for rule in layer.exclude
    )


def draw_net(
    caffe_net: NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """The picture of a net as bytes of the format `ext`; see draw_net_to_file."""
    if ext == "svg":
        from caffe import draw_svg

        if rankdir not in RANKDIRS:
            raise DrawingError(f"rankdir is one of {', '.join(RANKDIRS)}, not '{rankdir}'")
        return draw_svg.svg(upgraded(caffe_net), rankdir, phase, display_lrm).encode()
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    return graph.create(format=ext)


def draw_net_to_file(
    caffe_net: NetParameter,
    filename: str,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Draw a net and save it.

    Parameters
    ----------
    caffe_net : NetParameter
    filename : str
        The suffix chooses the format: .svg, and .dot (or .gv, .raw) for the text, need no other
        program; .png, .pdf and any other are made by `dot`.
    rankdir, phase, display_lrm
        See get_pydot_graph.

    Raises
    ------
    CaffeError
        The format is unknown, or `dot` is needed and not installed.
    """
    filename = os.fspath(filename)
    kind = os.path.splitext(filename)[1][1:].lower()
    if not kind:
        raise CaffeError(
            f"{filename}: the suffix chooses the format, such as .dot, .png, .svg or .pdf;"
            " this name has none"
        )
    picture = draw_net(caffe_net, rankdir, kind, phase, display_lrm)
    with renamed_when_whole(filename) as temporary, open(temporary, "wb") as f:
        f.write(picture)
