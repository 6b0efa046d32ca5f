"""Plots as SVG text: marks, scales, and charts of lines, bars and histograms.

Data have the colours of `COLOURS`. Everything else has a class, which the page around a plot styles for light and dark:
``tick``, ``label`` and ``title`` for text, ``grid`` and ``stroke`` for lines, ``band`` for a marked range. `document`
makes a file that contains such styles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 14, 42
# Okabe and Ito's colours, which colour-blind readers can tell apart too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b", "#8a6d00")
DOCUMENT_STYLE = """\
text { font-family: sans-serif; fill: #1c2024; } .paper { fill: #ffffff; } .stroke { stroke: #000000; }
.title { font-size: 14px; font-weight: bold; } .label { font-size: 12px; } .tick { font-size: 11px; fill: #5c646d; }
.grid { stroke: #dfe3e8; stroke-width: 1; } .band { fill: #d9efe6; }
@media (prefers-color-scheme: dark) { text { fill: #e7eaee; } .paper { fill: #15181c; } .stroke { stroke: #ffffff; }
.tick { fill: #a0a8b2; } .grid { stroke: #353b43; } .band { fill: #173a2d; } }"""


@dataclass(frozen=True)
class Scale:
    """A linear map of values to pixels.

    Attributes:
        low, high: values at the ends.
        start, end: pixels at the ends.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clip(self, value: float) -> float:
        """The nearest value on the scale."""
        return min(max(value, self.low), self.high)


@dataclass
class Drawing:
    """SVG elements, in the order in which they are drawn. Coordinates are pixels, y downwards.

    Attributes:
        parts: the elements.
    """

    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, anchor: str = "start", kind: str = "label") -> None:
        """Text at its baseline; ``anchor`` is "start", "middle" or "end", ``kind`` a class."""
        place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self.parts.append(f'<text class="{kind}" {place}>{escape(words)}</text>')

    def grid(self, x: float, y: float, x2: float, y2: float) -> None:
        """A line of the grid."""
        self.parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y2:.1f}"/>')

    def line(self, points: Sequence[tuple[float, float]], colour: str = "", width: float = 1.8) -> None:
        """A line through points, of the class ``stroke`` without a colour."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        paint = f'stroke="{colour}"' if colour else 'class="stroke"'
        self.parts.append(f'<polyline points="{path}" fill="none" {paint} stroke-width="{width}"/>')

    def bar(self, left: float, top: float, width: float, height: float, colour: str = "", tip: str = "") -> None:
        """A rectangle, at least half a pixel wide, with a tooltip ``tip``; of the class ``band`` without a colour."""
        place = f'x="{left:.1f}" y="{top:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
        paint = f'fill="{colour}"' if colour else 'class="band"'
        self.parts.append(f"<rect {place} {paint}>{_tip(tip)}</rect>" if tip else f"<rect {place} {paint}/>")

    def dot(self, x: float, y: float, colour: str, radius: float = 3.4, tip: str = "") -> None:
        """A filled circle, with a tooltip if ``tip`` is given."""
        place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"'
        self.parts.append(f"<circle {place}>{_tip(tip)}</circle>" if tip else f"<circle {place}/>")


@dataclass
class Panel(Drawing):
    """A chart of a `document`.

    Attributes:
        title: above the drawing.
        height: of the drawing in pixels; 0 for an empty one.
    """

    title: str = ""
    height: float = 0.0


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes:
        name: in the legend.
        points: x and y; those that are not finite are left out.
        line: whether they are joined.
        colour: index into `COLOURS`.
    """

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True
    colour: int = 0


class Axes(Drawing):
    """A drawing with an x axis below and a y axis at the left.

    Attributes:
        x, y: the scales.
        height: of the whole plot in pixels.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float], height: int = HEIGHT) -> None:
        super().__init__()
        self.x = Scale(*_widened(x), LEFT, WIDTH - RIGHT)
        self.y = Scale(*_widened(y), height - BOTTOM, TOP)
        self.height = height

    def frame(self, x_label: str, y_label: str, x_ticks: bool = True) -> None:
        """Draws grid lines, tick labels and axis labels."""
        for value in ticks(self.y.low, self.y.high):
            self.grid(LEFT, self.y(value), WIDTH - RIGHT, self.y(value))
            self.text(LEFT - 6, self.y(value) + 4, f"{value:g}", "end", "tick")
        bottom = self.height - BOTTOM
        if x_ticks:
            for value in ticks(self.x.low, self.x.high):
                self.grid(self.x(value), TOP, self.x(value), bottom)
                self.text(self.x(value), bottom + 16, f"{value:g}", "middle", "tick")
        self.text((LEFT + WIDTH - RIGHT) / 2, self.height - 6, x_label, "middle")
        middle = (TOP + bottom) / 2
        place = f'x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})"'
        self.parts.append(f'<text class="label" {place}>{escape(y_label)}</text>')

    def box(
        self, x: tuple[float, float], y: tuple[float, float], colour: str = "", tip: str = "", gap: float = 0
    ) -> None:
        """A bar between two x values and two y values, ``gap`` pixels narrower."""
        left, top = self.x(x[0]), self.y(max(y))
        self.bar(left, top, self.x(x[1]) - left - gap, self.y(min(y)) - top, colour, tip)

    def svg(self, label: str) -> str:
        """The plot as an SVG element that scales with its column; ``label`` describes it."""
        view = f'viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{escape(label, quote=True)}"'
        return f"<svg {view}>{''.join(self.parts)}</svg>"


def plot(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    band: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Lines and points, with a legend if there are several series.

    Args:
        series: what to draw; the first one lies on top.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
        band: y values between which the background is marked as the goal.
        x_range: of the horizontal axis; by default what the data need.
        y_range: of the vertical axis; by default what the data need, zero included.
    """
    known = [(x, y) for s in series for x, y in s.points if math.isfinite(x) and math.isfinite(y)]
    xs, ys = [x for x, _ in known] or [0.0], [y for _, y in known] or [0.0]
    axes = Axes(x_range or (min(xs), max(xs)), y_range or (min(0.0, *ys, *ys), max(*ys, *ys, *(band or (ys[0],)))))
    if band is not None:
        axes.box((axes.x.low, axes.x.high), (axes.y.clip(band[0]), axes.y.clip(band[1])))
    axes.frame(x_label, y_label)
    for s in reversed(series):
        colour = COLOURS[s.colour % len(COLOURS)]
        points = [(axes.x.clip(x), axes.y.clip(y)) for x, y in s.points if math.isfinite(x) and math.isfinite(y)]
        if s.line and len(points) > 1:
            axes.line([(axes.x(x), axes.y(y)) for x, y in points], colour)
        for x, y in points:
            axes.dot(axes.x(x), axes.y(y), colour, tip=f"{s.name}: {x:.3g}, {y:.3g}")
    return axes.svg(f"{y_label} against {x_label}") + legend(series)


def bars(groups: Mapping[str, Sequence[float]], labels: Sequence[str], x_label: str, y_label: str) -> str:
    """Bars side by side: a colour for each group, a cluster for each label.

    Args:
        groups: a value for each label, by the name of the group; those that are not finite are left out.
        labels: of the clusters.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
    """
    values = [v for row in groups.values() for v in row if math.isfinite(v)] or [0.0]
    axes = Axes((0, len(labels)), (min(0.0, min(values)), max(values)))
    axes.frame(x_label, y_label, x_ticks=False)
    wide = 0.8 / max(1, len(groups))
    for index, (name, row) in enumerate(groups.items()):
        for at, value in enumerate(row):
            if math.isfinite(value):
                left = at + 0.1 + index * wide
                tip = f"{name}, {labels[at]}: {value:.3g}"
                axes.box((left, left + wide), (0, value), COLOURS[index % len(COLOURS)], tip)
    for at, label in enumerate(labels):
        axes.text(axes.x(at + 0.5), axes.height - BOTTOM + 16, label, "middle", "tick")
    series = [Series(name, (), colour=index) for index, name in enumerate(groups)]
    return axes.svg(f"{y_label} by {x_label}") + legend(series)


def histogram(values: Sequence[float], x_label: str, bins: int = 40) -> str:
    """Shares of the values in equal bins, within their 0.2 and 99.8 percent quantiles.

    Args:
        values: one or more.
        x_label: of the axis.
        bins: number of bins.
    """
    ordered = sorted(values)
    last = len(ordered) - 1
    low, high = ordered[round(0.002 * last)], ordered[round(0.998 * last)]
    counts = [0] * bins
    for value in ordered:
        if low <= value <= high:
            counts[min(bins - 1, int((value - low) / max(high - low, 1e-12) * bins))] += 1
    shares = [count / len(ordered) for count in counts]
    axes = Axes((low, high), (0, max(shares)), height=190)
    axes.frame(x_label, "share")
    wide = (high - low) / bins
    for index, share in enumerate(shares):
        axes.box((low + index * wide, low + (index + 1) * wide), (0, share), COLOURS[0], gap=0.6)
    return axes.svg(f"distribution of {x_label}")


def legend(series: Sequence[Series]) -> str:
    """Colours and names as HTML under a plot; empty for a single series."""
    names = {s.name: COLOURS[s.colour % len(COLOURS)] for s in series}
    if len(names) < 2:
        return ""
    entries = "".join(f'<li><i style="background:{c}"></i>{escape(name)}</li>' for name, c in names.items())
    return f'<ul class="legend">{entries}</ul>'


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round values between ``low`` and ``high``, about ``count`` of them."""
    raw = (high - low) / max(1, count)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def document(panels: Sequence[Panel], width: int) -> str:
    """An SVG file with the panels below each other, in the reader's light or dark colours."""
    body, y = Drawing(), 10.0
    for panel in panels:
        body.text(10, y + 14, panel.title, kind="title")
        body.parts.append(f'<g transform="translate(0,{y + 26:.1f})">{"".join(panel.parts)}</g>')
        y += panel.height + 44
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:.0f}" width="{width}" height="{y:.0f}">'
    paper = '<rect class="paper" width="100%" height="100%"/>'
    return "\n".join([head, f"<style>{DOCUMENT_STYLE}</style>", paper, *body.parts, "</svg>"]) + "\n"


def _tip(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def _widened(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if high <= low:
        return low - 0.5, high + 0.5
    return low, high + 0.04 * (high - low)
