"""Charts as SVG, written by hand: bars, whiskers and curves need no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, LABELS, ROW = 900, 230, 22
# Colours that stay apart for the colour-blind (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")


@dataclass
class Chart:
    """One panel: things drawn over a horizontal or a free pair of axes.

    Attributes:
        title: above it.
        height: of the drawing below the title, pixels.
        parts: SVG elements.
    """

    title: str
    height: int = 0
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, anchor: str = "start", size: int = 12) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'
        )

    def bar(self, x: float, y: float, width: float, height: float, colour: str, hint: str = "") -> None:
        title = f"<title>{escape(hint)}</title>" if hint else ""
        place = f'x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
        self.parts.append(f'<rect {place} fill="{colour}">{title}</rect>')

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.5, dash: str = "") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{extra}/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 3) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')


@dataclass(frozen=True)
class Axis:
    """Values to pixels.

    Attributes:
        low, high: values at the ends.
        start, end: pixels there.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About five round values."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def rows_axis(chart: Chart, labels: Sequence[str], most: float, unit: str) -> Axis:
    """Labels at the left, one row each, and a horizontal axis from 0 to ``most`` below."""
    axis = Axis(0.0, most * 1.02 or 1.0, LABELS, WIDTH - 20)
    bottom = len(labels) * ROW + 4
    for tick in axis.ticks():
        chart.line([(axis(tick), 0), (axis(tick), bottom)], "#ddd", 1)
        chart.text(axis(tick), bottom + 14, f"{tick:g}", "middle", 11)
    for index, label in enumerate(labels):
        chart.text(LABELS - 8, index * ROW + 15, label, "end")
    chart.text(WIDTH - 20, bottom + 28, unit, "end", 11)
    chart.height = bottom + 34
    return axis


def legend(chart: Chart, names: Sequence[str]) -> None:
    """Names and their colours in a line below the chart."""
    x = float(LABELS)
    for index, name in enumerate(names):
        chart.bar(x, chart.height - 2, 10, 10, COLOURS[index % len(COLOURS)])
        chart.text(x + 14, chart.height + 7, name, size=11)
        x += 26 + 6.6 * len(name)
        if x > WIDTH - 120:
            x, chart.height = float(LABELS), chart.height + 16
    chart.height += 18


def document(charts: Sequence[Chart]) -> str:
    """The charts one below the other."""
    body, y = [], 10
    for chart in charts:
        body.append(f'<text x="10" y="{y + 14}" font-size="14" font-weight="bold">{escape(chart.title)}</text>')
        body.append(f'<g transform="translate(0,{y + 26})">{"".join(chart.parts)}</g>')
        y += chart.height + 44
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
    return (
        f'{head}font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )
