"""caffe.draw: a net as a graph of layers and blobs (pycaffe's draw module).

The graph is written as Graphviz text by this module itself, without pydot; pictures are made of it by Graphviz's `dot`.
"""

import os
import shutil
import subprocess

from caffe import upgrade
from caffe.error import CaffeError
from caffe.proto import caffe_pb2
from caffe.snapshot import renamed_when_whole

BLOB_STYLE = {"shape": "octagon", "style": "filled", "fillcolor": "#E0E0E0"}
NEURON_LAYER_STYLE = {"shape": "record", "style": "filled", "fillcolor": "#90EE90"}  # in place: top and bottom are one blob
LAYER_STYLE = {"shape": "record", "style": "filled", "fillcolor": "#6495ED"}
COLOURS = {
    "Convolution": {"fillcolor": "#FF5050"},
    "Deconvolution": {"fillcolor": "#FF5050"},
    "Pooling": {"fillcolor": "#FF9900"},
    "InnerProduct": {"fillcolor": "#CC33FF"},
}
RANKDIRS = ("TB", "BT", "LR", "RL")
TEXT = ("dot", "gv", "raw")  # suffixes of the text itself


def draw_net_to_file(caffe_net, filename, rankdir="LR", phase=None):
    """Draw a net and save it.

    Parameters
    ----------
    caffe_net : NetParameter
    filename : str
        The suffix says the format: .dot (or .gv, .raw) for the text, which needs nothing else; .png, .svg, .pdf and
        whatever else `dot` makes.
    rankdir : {'LR', 'RL', 'TB', 'BT'}
        Direction of the flow: left to right, ..., bottom to top.
    phase : {caffe.TRAIN, caffe.TEST}, optional
        Draw the layers of this phase only.

    Raises
    ------
    CaffeError
        No such format, or `dot` is wanted and not there.
    """
    filename = os.fspath(filename)
    kind = os.path.splitext(filename)[1][1:].lower()
    if not kind:
        raise CaffeError(f"{filename}: the suffix says the format, such as .dot, .png, .svg or .pdf; it has none")
    picture = draw_net(caffe_net, rankdir, kind, phase)
    with renamed_when_whole(filename) as temporary, open(temporary, "wb") as f:
        f.write(picture)


def draw_net(caffe_net, rankdir, ext="png", phase=None):
    """The picture of a net as bytes of the format `ext`; see draw_net_to_file."""
    text = graph_text(caffe_net, rankdir, phase).encode()
    if ext in TEXT:
        return text
    program = shutil.which("dot")
    if program is None:
        raise CaffeError(
            f"drawing a net as {ext} needs Graphviz's program `dot`, which is not installed; a .dot file needs it not"
        )
    done = subprocess.run([program, f"-T{ext}"], input=text, capture_output=True)
    if done.returncode:
        raise CaffeError(f"dot cannot draw the net as {ext}: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout


def graph_text(caffe_net, rankdir="LR", phase=None, label_edges=True):
    """The graph in Graphviz's language: a node a layer and a blob, an edge a bottom and a top.

    Parameters
    ----------
    label_edges : bool
        Write beside the edges to the tops how many outputs a layer gives.

    Returns
    -------
    str
    """
    if rankdir not in RANKDIRS:
        raise CaffeError(f"rankdir is one of {', '.join(RANKDIRS)}, not '{rankdir}'")
    net = caffe_pb2.NetParameter()
    net.CopyFrom(caffe_net)
    upgrade.upgrade_net(net, net.name or "net")
    nodes, edges = {}, []
    for layer in net.layer:
        if not in_phase(layer, phase):
            continue
        node = f"{layer.name}_{layer.type}"
        in_place = len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)
        style = NEURON_LAYER_STYLE if in_place else LAYER_STYLE | COLOURS.get(layer.type, {})
        nodes[node] = {"label": layer_label(layer, rankdir)} | style
        for blob in layer.bottom:
            nodes[f"{blob}_blob"] = {"label": escaped(blob)} | BLOB_STYLE
            edges.append((f"{blob}_blob", node, ""))
        for blob in layer.top:
            nodes[f"{blob}_blob"] = {"label": escaped(blob)} | BLOB_STYLE
            edges.append((node, f"{blob}_blob", edge_label(layer) if label_edges else ""))
    rows = [f"digraph {quoted(escaped(net.name or 'Net'))} {{", f"rankdir={rankdir};"]
    rows += [f"{quoted(escaped(name))} [{attributes(values)}];" for name, values in nodes.items()]
    for source, target, label in edges:
        rows.append(f"{quoted(escaped(source))} -> {quoted(escaped(target))} [label={quoted(label)}];")
    return "\n".join(rows + ["}", ""])


def in_phase(layer, phase):
    """Whether a layer belongs to `phase`: no include rule, or one that admits it, and no exclude rule for it."""
    if phase is None:
        return True
    included = not layer.include or any(not rule.HasField("phase") or rule.phase == phase for rule in layer.include)
    return included and not any(rule.HasField("phase") and rule.phase == phase for rule in layer.exclude)


def layer_label(layer, rankdir):
    """Name, type, and the window of convolutions and poolings; side by side where the graph runs up or down."""
    parts = [layer.name, f"({layer.type})"]
    if layer.type in ("Convolution", "Deconvolution"):
        parts += window(layer.convolution_param)
    elif layer.type == "Pooling":
        method = caffe_pb2.PoolingParameter.PoolMethod.Name(layer.pooling_param.pool)
        parts = [layer.name, f"({method} {layer.type})", *window(layer.pooling_param)]
    return (" " if rankdir in ("TB", "BT") else r"\n").join(map(escaped, parts))


# title, field, what _h and _w are put behind, default
WINDOW = (("kernel size", "kernel_size", "kernel", 0), ("stride", "stride", "stride", 1), ("pad", "pad", "pad", 0))


def window(param):
    """Kernel size, stride and pad as text: 3, or 3x5 where height and width differ."""
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


def edge_label(layer):
    """How many outputs: batch size, channels or numbers, as pycaffe has it."""
    if layer.type == "Data":
        return f"Batch {layer.data_param.batch_size}"
    if layer.type in ("Convolution", "Deconvolution"):
        return str(layer.convolution_param.num_output)
    if layer.type == "InnerProduct":
        return str(layer.inner_product_param.num_output)
    return ""


def escaped(text):
    """A name for a quoted string; in the label of a record, braces, bars and angles have a meaning of their own."""
    return "".join(f"\\{c}" if c in '\\"{}|<>' else c for c in text)


def quoted(text):
    return f'"{text}"'


def attributes(values):
    return ", ".join(f"{name}={quoted(value)}" for name, value in values.items())
