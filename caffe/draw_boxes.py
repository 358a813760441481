"""The boxes and edges of a drawing of a net, which draw_svg.py draws.

A box is a layer, with the layers that work in place on its top; edges are blobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from caffe import draw
from caffe.proto import caffe_pb2

Layer = caffe_pb2.LayerParameter
Labels = dict[tuple[int, int], list[str]]  # of the edges between boxes, by their numbers
FONT = 12.0  # pixels
LINE = 15.0
PADDING = 10.0
BOLD = 1.13  # how much wider bold text is
OUTPUT = draw.BLOB_STYLE["fillcolor"]
IN_PLACE = draw.NEURON_LAYER_STYLE["fillcolor"]
# widths of characters in em, for the usual fonts without serifs; a little too wide is harmless
NARROW, WIDE = "iljtfrI.,:;'|!()[]/ ", "mwMW@%"


@dataclass
class Box:
    """A box of the drawing.

    Attributes
    ----------
    parts : list of (list of str, str)
        Lines of text and a colour, from top to bottom.
    title : str
        Shown by a browser when the mouse is over the box.
    tops : list of str
        The blobs that it produces.
    is_output : bool
        It is a blob that no layer reads.
    """

    parts: list[tuple[list[str], str]]
    title: str = ""
    tops: list[str] = field(default_factory=list)
    is_output: bool = False

    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        lines = [line for part, _ in self.parts for line in part]
        names = [part[0] for part, _ in self.parts if len(part) > 1]  # these are bold
        widths = [text_width(line) for line in lines] + [BOLD * text_width(n) for n in names]
        width = max(widths) + 2 * PADDING
        heights = [LINE * len(part) + PADDING for part, _ in self.parts]
        return width + (PADDING if self.is_output else 0), sum(heights)


def boxes_of(
    net: caffe_pb2.NetParameter,
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> tuple[list[Box], dict[tuple[int, int], list[str]]]:
    """The boxes in the net's order, and {(from, to): labels} with their numbers.

    A layer in place is folded into the box that produces its blob, unless another layer has read
    the blob before, or several layers produce it (those of different phases).
    """
    boxes: list[Box] = []
    edges: dict[tuple[int, int], list[str]] = {}
    producers: dict[str, list[int]] = {}
    labels: dict[tuple[int, str], str] = {}
    unread: dict[str, None] = {}
    for layer in net.layer:
        if not draw.in_phase(layer, phase):
            continue
        in_place = len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)
        text = _lines(layer, phase, display_lrm)
        sources = producers.get(layer.bottom[0], []) if in_place else []
        if len(sources) == 1 and layer.bottom[0] in unread and len(boxes[sources[0]].tops) == 1:
            boxes[sources[0]].parts.append(([" ".join(text[:2])], IN_PLACE))
            boxes[sources[0]].title += "\n" + _title(layer)
            continue
        for blob in layer.bottom:
            unread.pop(blob, None)
            if blob not in producers:  # of a part of a net
                producers[blob] = [len(boxes)]
                boxes.append(Box([([blob], OUTPUT)], f"input {blob}", is_output=True))
        number = len(boxes)
        colour = IN_PLACE if in_place else draw.choose_color_by_layertype(layer.type)
        boxes.append(Box([(text, colour)], _title(layer), list(layer.top)))
        for blob in layer.bottom:
            for source in producers[blob]:
                known = edges.setdefault((source, number), [])
                label = labels.get((source, blob))
                if label and label not in known:
                    known.append(label)
        conditional = phase is None and (layer.include or layer.exclude)
        for blob in layer.top:
            producers[blob] = [*producers.get(blob, []), number] if conditional else [number]
            labels[number, blob] = _outputs(layer) if shapes is None else shapes.get(blob, "")
            unread[blob] = None
    for blob in unread:
        boxes.append(Box([([blob], OUTPUT)], f"output {blob}", [], is_output=True))
        for source in producers[blob]:
            label = labels[source, blob]
            edges[source, len(boxes) - 1] = [label] if label else []
    return boxes, edges


def _outputs(layer: Layer) -> str:
    label = draw.get_edge_label(layer)
    return "" if label == draw.NO_LABEL else label


def _lines(layer: Layer, phase: int | None, display_lrm: bool) -> list[str]:
    """The text of a layer: its name, its type with its window, and the phase if both are drawn."""
    lines = [layer.name, f"({layer.type})"]
    if layer.type in ("Convolution", "Deconvolution"):
        p = layer.convolution_param
        lines += [_window(p) + (f", group {p.group}" if p.group > 1 else "")]
    elif layer.type == "Pooling":
        lines[1] = f"(Pooling {draw.get_pooling_types_dict()[layer.pooling_param.pool]})"
        lines += [_window(layer.pooling_param)]
    if display_lrm and layer.type in draw.LEARNING and any(draw.get_layer_lr_mult(layer)):
        lines.append("lr mult: {:.1f}, {:.1f}".format(*draw.get_layer_lr_mult(layer)))
    rules = {caffe_pb2.Phase.Name(r.phase) for r in layer.include if r.HasField("phase")}
    if phase is None and rules:
        lines[1] += f" {' '.join(sorted(rules))}"
    return lines


def _window(param: caffe_pb2.ConvolutionParameter | caffe_pb2.PoolingParameter) -> str:
    """Kernel, stride and pad in one line; stride 1 and pad 0 are left out."""
    rows = dict(row.split(": ") for row in draw.window(param))
    kernel = rows["kernel size"]
    parts = [kernel if "x" in kernel or kernel == "global" else f"{kernel}x{kernel}"]
    parts += [f"stride {rows['stride']}"] * (rows["stride"] != "1")
    parts += [f"pad {rows['pad']}"] * (rows["pad"] != "0")
    return ", ".join(parts)


def _title(layer: Layer) -> str:
    bottoms, tops = ", ".join(layer.bottom), ", ".join(layer.top)
    return f"{layer.name} ({layer.type}): {bottoms or 'no bottom'} -> {tops or 'no top'}"


def text_width(text: str) -> float:
    """About how wide a text is, in pixels."""
    return FONT * sum(
        0.34
        if c in NARROW
        else 0.92
        if c in WIDE
        else 1.0
        if ord(c) > 0x2E7F
        else 0.7
        if c.isupper()
        else 0.6
        for c in text
    )
