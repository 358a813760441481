"""A page with the curve of a training: losses and test outputs as SVG, in one HTML file.

The page needs nothing but a browser and reloads itself every minute.  It holds its own numbers, so
that a resumed training continues the same curve.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections.abc import Mapping, Sequence

from caffe import regular_file
from caffe.error import CaffeError
from caffe.progress import Point, Watcher
from caffe.whole_file import renamed_when_whole

MOST_POINTS = 2000  # of a curve; beyond that every second one is dropped
MOST_TESTS = 12  # curves of test outputs
WIDTH, HEIGHT = 860, 260  # of a panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 24, 24  # its margins
MARK = re.compile(r'<script type="application/json" id="curves">(.*?)</script>', re.DOTALL)
LOSS = "training loss"
STYLE = """body { font: 14px sans-serif; margin: 2em auto; max-width: 880px; color: #222; }
svg { display: block; margin-bottom: 1em; } text { font-size: 12px; fill: #444; }
.grid { stroke: #ddd; } .raw { fill: none; stroke: #9bc2e6; }
.smooth { fill: none; stroke: #1f5f99; stroke-width: 2; }
.test { fill: none; stroke: #c0504d; stroke-width: 1.5; }"""

Curve = list[tuple[int, float]]  # (iteration, value)


class LossPage(Watcher):
    """Draws the page at every display and after every test.

    Parameters
    ----------
    path : str
        The HTML file.  If a training wrote it, its curves are kept up to the iteration at which
        this training starts.
    title : str

    Raises
    ------
    CaffeError
        The file exists and is not such a page, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], title: str = "training") -> None:
        self.path, self.title = os.fspath(path), title
        self.curves: dict[str, Curve] = {}
        if os.path.exists(self.path):
            self._read()
        self._write()

    def begin(self, iteration: int) -> None:
        for name, curve in self.curves.items():
            if curve and curve[-1][0] >= iteration:
                self.curves[name] = [(i, value) for i, value in curve if i < iteration]

    def train(self, point: Point) -> None:
        self._add(LOSS, point.iteration, point.loss)
        self._write()

    def test(self, iteration: int, index: int, outputs: Mapping[str, float]) -> None:
        for name, value in outputs.items():
            label = f"test net #{index}: {name}"
            if label in self.curves or len(self.curves) <= MOST_TESTS:
                self._add(label, iteration, value)
        self._write()

    def _add(self, name: str, iteration: int, value: float) -> None:
        curve = self.curves.setdefault(name, [])
        if not math.isfinite(value):
            return
        thinned = len(curve) > MOST_POINTS // 2
        if thinned and curve[-1][0] - curve[-2][0] < curve[1][0] - curve[0][0]:
            del curve[-1]  # only the newest point may be so near to the one before
        curve.append((iteration, value))
        if len(curve) > MOST_POINTS:
            del curve[1::2]

    def _read(self) -> None:
        regular_file.check(self.path)
        try:
            with open(self.path, encoding="utf-8") as f:
                curves = json.loads(MARK.search(f.read())[1])
            self.curves = {
                str(name): [(int(i), float(v)) for i, v in curve if math.isfinite(v)]
                for name, curve in curves.items()
            }
        except OSError as error:
            raise CaffeError(f"{self.path}: {error.strerror or error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise CaffeError(
                f"{self.path}: is there, and is not the page of a training: it is not overwritten;"
                " move it away, or name another file"
            ) from error

    def _write(self) -> None:
        page = render(self.title, self.curves)
        with (
            renamed_when_whole(self.path) as temporary,
            open(temporary, "w", encoding="utf-8") as f,
        ):
            f.write(page)


def smoothed(curve: Curve) -> Curve:
    """Each value averaged with those before it: a fiftieth of the curve, but at least five."""
    window, total, found = max(5, len(curve) // 50), 0.0, []
    for at, (iteration, value) in enumerate(curve):
        total += value - (curve[at - window][1] if at >= window else 0)
        found.append((iteration, total / min(at + 1, window)))
    return found


def render(title: str, curves: Mapping[str, Curve]) -> str:
    """The page, as HTML.

    Parameters
    ----------
    title : str
    curves : dict
        {name: [(iteration, value), ...]}; that of LOSS is drawn smoothed as well.
    """
    last = max((curve[-1][0] for curve in curves.values() if curve), default=0)
    panels = [
        _panel(
            f"{name}: {curve[-1][1]:.6g}" + ("; dark: smoothed" if name == LOSS else ""),
            [("raw", curve), ("smooth", smoothed(curve))] if name == LOSS else [("test", curve)],
            last,
        )
        for name, curve in sorted(curves.items(), key=lambda pair: pair[0] != LOSS)
        if curve
    ]
    numbers = json.dumps(curves).replace("<", "\\u003c")
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="refresh" content="60"><title>{html.escape(title)}</title>',
            f"<style>{STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1>\n<p>iteration {last}</p>",
            *panels,
            f'<script type="application/json" id="curves">{numbers}</script>',
            "</body></html>\n",
        ]
    )


def ticks(low: float, high: float) -> list[float]:
    """Three to eleven round numbers from `low` to `high`."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3))
    while (high - low) / step > 10:
        step *= 5 if (high - low) / step > 20 else 2
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _panel(title: str, lines: Sequence[tuple[str, Curve]], last: int) -> str:
    """An SVG with axes and one polyline per (class, curve), from iteration 0 to `last`."""
    values = [value for _, curve in lines for _, value in curve]
    low, high = min(values), max(values)
    if not high - low > 1e-6 * max(abs(low), abs(high)):  # flat: some room above and below
        room = abs(high) / 2 or 1.0
        low, high = low - room, high + room

    def x(iteration: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * iteration / max(last, 1):.1f}"

    def y(value: float) -> str:
        return f"{TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low):.1f}"

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}"><text x="{LEFT}" y="14">']
    parts.append(f"{html.escape(title)}</text>")
    for value in ticks(low, high):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}"')
        parts.append(f' y1="{y(value)}" y2="{y(value)}"/><text text-anchor="end"')
        parts.append(f' x="{LEFT - 6}" y="{y(value)}" dy="4">{value:.6g}</text>')
    for value in ticks(0, max(last, 1)):
        if value == int(value):
            parts.append(f'<text text-anchor="middle" x="{x(value)}" y="{HEIGHT - 6}">')
            parts.append(f"{value:.0f}</text>")
    for kind, curve in lines:
        points = " ".join(f"{x(iteration)},{y(value)}" for iteration, value in curve)
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    return "".join([*parts, "</svg>"])
