"""A net as an SVG picture, without Graphviz.

A box is a layer; the layers that work in place on its top are green strips of the same box.  Edges
are blobs, with the number of a layer's outputs beside them.  Octagons are the net's outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from caffe import draw
from caffe.draw_boxes import FONT, LINE, PADDING, Box, boxes_of, text_width
from caffe.draw_layout import BETWEEN, Place, lay_out
from caffe.proto import caffe_pb2

MARGIN = 20.0
CORNER = 4.0


def svg(
    net: caffe_pb2.NetParameter,
    rankdir: str = "TB",
    phase: int | None = None,
    display_lrm: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> str:
    """Draw a net.

    Parameters
    ----------
    net : NetParameter
        In today's form.
    rankdir : {'TB', 'LR', 'BT', 'RL'}
        Direction of the flow: top to bottom, ...
    phase : {caffe.TRAIN, caffe.TEST}, optional
        Draw only the layers of this phase.
    display_lrm : bool
        Show the learning rate multipliers.
    shapes : dict, optional
        {blob: text} for the edges, instead of the numbers of outputs.

    Returns
    -------
    str
        The text of an SVG file.

    Raises
    ------
    DrawingError
        The net has no layers, or a layer has both include and exclude rules.
    """
    boxes, edges = boxes_of(net, phase, display_lrm, shapes)
    if not boxes:
        raise draw.DrawingError(f"net '{net.name}' has no layers to draw")
    across = rankdir in ("LR", "RL")
    sizes = [box.size() for box in boxes]
    pairs = list(edges)
    between = BETWEEN
    if across:  # labels are along the edges
        widths = [text_width(", ".join(texts)) for texts in edges.values()]
        between = max([BETWEEN, *(width + PADDING for width in widths)])
    places, routes, (width, height) = lay_out(
        [(h, w) if across else (w, h) for w, h in sizes], pairs, between
    )
    back = rankdir in ("BT", "RL")

    def point(x: float, y: float) -> tuple[float, float]:
        y = height - y if back else y
        return (y + MARGIN, x + MARGIN) if across else (x + MARGIN, y + MARGIN)

    lines = [_edge(route, point) for route in routes]
    labels = _labels([edges[pair] for pair in pairs], routes, point, rankdir)
    drawn = [
        _box(box, size, point(place.x, place.y))
        for box, size, place in zip(boxes, sizes, places, strict=True)
    ]
    whole = (height, width) if across else (width, height)
    return _document(net.name or "net", whole, [*lines, *drawn, *labels])


# ------------------------------------------------------------------------------------------- shapes


def _edge(route: Sequence[Place], point: Callable[[float, float], tuple[float, float]]) -> str:
    """A curve from the bottom of the first box to the top of the last one, with an arrow."""
    start, *lanes, end = route
    points = [(_port(start, route[1]), start.y + start.height / 2)]
    for lane in lanes:
        points += [(lane.x, lane.y - lane.height / 2), (lane.x, lane.y + lane.height / 2)]
    points.append((_port(end, route[-2]), end.y - end.height / 2))
    commands = ["M{:.1f},{:.1f}".format(*point(*points[0]))]
    points[0] = points[0][0], start.floor  # beside taller boxes it runs straight
    commands.append("L{:.1f},{:.1f}".format(*point(*points[0])))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        half = (y1 - y0) / 2
        corners = [point(x0, y0 + half), point(x1, y1 - half), point(x1, y1)]
        commands.append("C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in corners))
    return f'<path d="{"".join(commands)}" class="edge" marker-end="url(#arrow)"/>'


def _port(box: Place, neighbour: Place) -> float:
    """Where on its side a box meets the edge from a neighbour; several edges are spread evenly."""
    side = box.below if neighbour.rank > box.rank else box.above
    order = sorted(side, key=lambda place: place.x)
    step = min(16.0, 0.7 * box.width / len(order))
    return box.x + (order.index(neighbour) - (len(order) - 1) / 2) * step


def _labels(
    texts: Sequence[Sequence[str]],
    routes: Sequence[Sequence[Place]],
    point: Callable[[float, float], tuple[float, float]],
    rankdir: str,
) -> list[str]:
    """The labels of the edges, beside their first parts.

    Edges of one box with the same label have it once, at the last of them; others are staggered.
    """
    of_box: dict[Place, dict[str, float]] = {}  # box: {label: where the last edge leaves}
    for route, labels in zip(routes, texts, strict=True):
        if labels:
            places = of_box.setdefault(route[0], {})
            text = ", ".join(labels)
            places[text] = max(places.get(text, -1e9), _port(route[0], route[1]))
    found, across = [], rankdir in ("LR", "RL")
    anchor = ' text-anchor="end"' if rankdir == "RL" else ""
    for box, places in of_box.items():
        for i, (text, x) in enumerate(sorted(places.items(), key=lambda pair: pair[1])):
            left, top = point(x, box.y + box.height / 2 + (6 if across else 14 + 11 * i))
            left, top = (left, top - 5) if across else (left + 4, top)
            found.append(
                f'<text x="{left:.1f}" y="{top:.1f}" class="label"{anchor}>{_safe(text)}</text>'
            )
    return found


def _box(box: Box, size: tuple[float, float], centre: tuple[float, float]) -> str:
    (width, height), (x, y) = size, centre
    left, top = x - width / 2, y - height / 2
    rows = [f"<g><title>{_safe(box.title)}</title>"]
    at = top
    for lines, colour in box.parts:
        tall = LINE * len(lines) + PADDING
        if box.is_output:
            rows.append(_octagon(left, at, width, tall, colour))
        else:
            rows.append(
                f'<rect x="{left:.1f}" y="{at:.1f}" width="{width:.1f}" height="{tall:.1f}"'
                f' rx="{CORNER}" fill="{colour}" class="box"/>'
            )
        for i, line in enumerate(lines):
            name = ' class="name"' if i == 0 and len(lines) > 1 else ""
            rows.append(
                f'<text x="{x:.1f}" y="{at + PADDING / 2 + LINE * (i + 0.75):.1f}"{name}'
                f' text-anchor="middle">{_safe(line)}</text>'
            )
        at += tall
    return "".join([*rows, "</g>"])


def _octagon(left: float, top: float, width: float, height: float, colour: str) -> str:
    cut = height / 3
    right, bottom = left + width, top + height
    corners = [
        (left + cut, top),
        (right - cut, top),
        (right, top + cut),
        (right, bottom - cut),
        (right - cut, bottom),
        (left + cut, bottom),
        (left, bottom - cut),
        (left, top + cut),
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return f'<polygon points="{points}" fill="{colour}" class="box"/>'


def _printable(text: str) -> str:
    """Text without control characters, which XML does not allow."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _safe(text: str) -> str:
    return escape(_printable(text))


HEAD = """<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"
 viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label={name}>
<style>
text {{ font: {font:.0f}px "DejaVu Sans", Verdana, Helvetica, Arial, sans-serif; fill: #000; }}
.name {{ font-weight: bold; }}
.label {{ font-size: 11px; fill: #333; stroke: #fff; stroke-width: 3px; paint-order: stroke; }}
.box {{ stroke: #333; stroke-width: 1; }}
.edge {{ fill: none; stroke: #333; stroke-width: 1.2; }}
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#333"/></marker></defs>
<rect width="100%" height="100%" fill="#fff"/>
"""


def _document(name: str, size: tuple[float, float], parts: Sequence[str]) -> str:
    width, height = size[0] + 2 * MARGIN, size[1] + 2 * MARGIN
    head = HEAD.format(width=width, height=height, font=FONT, name=quoteattr(_printable(name)))
    return head + "\n".join(part for part in parts if part) + "\n</svg>\n"
