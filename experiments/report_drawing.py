"""A part of make_tables.py: what a figure of the report is, and how it is drawn as SVG and PNG.

A figure is drawn twice, for wide and for narrow screens; the page shows the one that fits.
"""

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b1f24", "#57606a", "#d8dee4"
BLUE, ORANGE, GREY, RED = "#1f6fb2", "#c4661f", "#8c959f", "#b5402a"
# The page's names of these colours, which are others on a dark screen.
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    BLUE: "blue",
    ORANGE: "orange",
    GREY: "grey",
    RED: "red",
}
WIDE, NARROW = 8.6, 3.7  # inches
DPI = 130
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "svg.fonttype": "none",  # text stays text
}
HEAD = re.compile(r"\A.*?(?=<svg)", re.DOTALL)  # XML declaration and document type
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Item:
    """A picture or a text in a row of a figure.

    Attributes
    ----------
    caption : str
    jpeg : bytes
        Empty for a text.
    text : str
    right : bool or None
        Whether it is a right answer; None where there is no such question.
    """

    caption: str
    jpeg: bytes = b""
    text: str = ""
    right: bool | None = None


@dataclass(frozen=True)
class Row:
    """A row of pictures or texts, and what they belong to.

    Attributes
    ----------
    title, text : str
    jpeg : bytes
        Of what the row belongs to; may be empty.
    items : list of Item
    """

    title: str
    text: str
    items: list[Item]
    jpeg: bytes = b""


@dataclass(frozen=True)
class Drawn:
    """A figure of the report.

    Attributes
    ----------
    name : str
        Of its files, without the ending.
    title, caption, alt : str
    draw : callable
        Draws it; its argument says whether for a narrow screen.
    records : list of dict
        The result records that it shows.
    rows : list of Row
        What the page shows instead of the drawing: pictures and texts that it lays out itself.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[bool], Figure]
    records: list[dict] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class LeftOut:
    """A figure that cannot be drawn, and one sentence that says what would make it."""

    name: str
    title: str
    why: str


def panels(
    count: int, narrow: bool, height: float, columns: int = 2, **more: object
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of `height` inches, in one column on a narrow screen."""
    columns = 1 if narrow else min(columns, count)
    rows = math.ceil(count / columns)
    size = (NARROW if narrow else WIDE, height * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **more).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


@dataclass(frozen=True)
class Images:
    """A figure as the bytes of image files; `narrow` is an SVG, empty if the page needs none."""

    svg: bytes
    png: bytes
    narrow: bytes = b""


def images_of(figure: Drawn) -> Images:
    """Draw a figure; the same figure gives the same bytes."""
    wide = {"svg": {"metadata": NO_METADATA}, "png": {"metadata": {"Software": None}, "dpi": DPI}}
    svg, png = _saved(figure, False, wide)
    if figure.rows:
        return Images(svg, png)
    return Images(svg, png, *_saved(figure, True, {"svg": wide["svg"]}))


def _saved(figure: Drawn, narrow: bool, kinds: dict[str, dict]) -> list[bytes]:
    """The bytes of image files of these kinds, with the arguments of `savefig`."""
    found = []
    salt = f"{figure.name}-{'narrow' if narrow else 'wide'}"  # makes the ids in an SVG its own
    with rc_context(STYLE | {"svg.hashsalt": salt}):
        made = figure.draw(narrow)
        for kind, arguments in kinds.items():
            held = io.BytesIO()
            made.savefig(held, format=kind, **arguments)
            found.append(held.getvalue())
            made.set_layout_engine("none")  # it stays as it has just been laid out
    return found


def inline(svg: bytes, alt: str, css: str) -> str:
    """An SVG file as an element of the page: without a head, in the page's colours and font.

    Parameters
    ----------
    svg : bytes
        Of `images_of`.
    alt : str
        What screen readers say; it holds no markup (the caller has escaped it).
    css : str
        Class of the element.
    """
    text = METADATA.sub("", HEAD.sub("", svg.decode("utf-8")))
    for colour, name in VARIABLES.items():
        text = text.replace(f": {colour}", f": var(--{name})")
    # the white behind the drawing
    text = re.sub(r"fill: #ffffff", "fill: none", text, count=1)
    return text.replace("<svg ", f'<svg class="{css}" role="img" aria-label="{alt}" ', 1)
