"""Plots as SVG text: lines and points, bars, histograms. They scale with the column and follow the page's colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 280
LEFT, RIGHT, TOP, BOTTOM = 60, 12, 14, 42
# Okabe and Ito's colours: told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6b6b", "#8a6d00")


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


class Axes:
    """Scales of a plot's data to its box."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], width: int = WIDTH, height: int = HEIGHT
    ) -> None:
        self.x, self.y = _widened(x), _widened(y)
        self.width, self.height = width, height

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        inner, tall = self.width - LEFT - RIGHT, self.height - TOP - BOTTOM
        return LEFT + across * inner, self.height - BOTTOM - up * tall

    def frame(self, x_label: str, y_label: str, x_ticks: bool = True) -> str:
        """Grid lines, tick labels and axis labels."""
        parts = []
        for value in ticks(*self.y):
            _, y = self.place(self.x[0], value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        if x_ticks:
            for value in ticks(*self.x):
                x, _ = self.place(value, self.y[0])
                y = self.height - BOTTOM
                parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{y}"/>')
                parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 16}" text-anchor="middle">{value:g}</text>')
        middle = (LEFT + self.width - RIGHT) / 2
        parts.append(
            f'<text class="label" x="{middle}" y="{self.height - 6}" text-anchor="middle">{escape(x_label)}</text>'
        )
        half = (TOP + self.height - BOTTOM) / 2
        parts.append(
            f'<text class="label" x="12" y="{half}" text-anchor="middle" transform="rotate(-90 12 {half})">'
            f"{escape(y_label)}</text>"
        )
        return "".join(parts)


def plot(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    band: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Lines and points.

    Args:
        series: what to draw.
        x_label, y_label: of the axes.
        band: y values between which the background is marked as the goal.
        x_range, y_range: of the axes; by default what the data need, zero included in y.
    """
    known = [(x, y) for s in series for x, y in s.points if math.isfinite(x) and math.isfinite(y)]
    xs, ys = [x for x, _ in known] or [0.0], [y for _, y in known] or [0.0]
    axes = Axes(x_range or (min(xs), max(xs)), y_range or (min(0.0, *ys, *ys), max(*ys, *ys, *(band or (ys[0],)))))
    parts = []
    if band is not None:
        left, top = axes.place(axes.x[0], min(band[1], axes.y[1]))
        right, bottom = axes.place(axes.x[1], max(band[0], axes.y[0]))
        parts.append(
            f'<rect class="band" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        )
    parts.append(axes.frame(x_label, y_label))
    # The first series is what the plot is about: drawn last, it lies on top.
    for s in reversed(series):
        colour = COLOURS[s.colour % len(COLOURS)]
        inside = [(x, min(max(y, axes.y[0]), axes.y[1])) for x, y in s.points if math.isfinite(x) and math.isfinite(y)]
        inside = [(min(max(x, axes.x[0]), axes.x[1]), y) for x, y in inside]
        places = [axes.place(x, y) for x, y in inside]
        if s.line and len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        for (x, y), (vx, vy) in zip(places, inside, strict=True):
            tip = escape(f"{s.name}: {vx:.3g}, {vy:.3g}")
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}"><title>{tip}</title></circle>')
    return _svg(parts, f"{y_label} against {x_label}") + legend(series)


def bars(groups: Mapping[str, Sequence[float]], labels: Sequence[str], x_label: str, y_label: str) -> str:
    """Bars side by side: one group of colours per series, one cluster per label."""
    values = [v for row in groups.values() for v in row if math.isfinite(v)] or [0.0]
    axes = Axes((0, len(labels)), (min(0.0, min(values)), max(values)))
    parts = [axes.frame(x_label, y_label, x_ticks=False)]
    wide = 0.8 / max(1, len(groups))
    for index, (name, row) in enumerate(groups.items()):
        for at, value in enumerate(row):
            if not math.isfinite(value):
                continue
            left, top = axes.place(at + 0.1 + index * wide, max(value, 0))
            right, bottom = axes.place(at + 0.1 + (index + 1) * wide, min(value, 0))
            tip = escape(f"{name}, {labels[at]}: {value:.3g}")
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
                f'fill="{COLOURS[index % len(COLOURS)]}"><title>{tip}</title></rect>'
            )
    for at, label in enumerate(labels):
        x, _ = axes.place(at + 0.5, axes.y[0])
        y = axes.height - BOTTOM + 16
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{escape(label)}</text>')
    series = [Series(name, (), colour=index) for index, name in enumerate(groups)]
    return _svg(parts, f"{y_label} by {x_label}") + (legend(series) if len(groups) > 1 else "")


def histogram(values: Sequence[float], x_label: str, bins: int = 40) -> str:
    """Shares of the values in equal bins, within their 0.2 and 99.8 percent quantiles."""
    ordered = sorted(values)
    last = len(ordered) - 1
    low, high = ordered[round(0.002 * last)], ordered[round(0.998 * last)]
    counts = [0] * bins
    for value in ordered:
        if low <= value <= high:
            counts[min(bins - 1, int((value - low) / max(high - low, 1e-12) * bins))] += 1
    shares = [count / len(ordered) for count in counts]
    axes = Axes((low, high), (0, max(shares)), height=190)
    parts = [axes.frame(x_label, "share")]
    for index, share in enumerate(shares):
        left, top = axes.place(low + (high - low) * index / bins, share)
        right, bottom = axes.place(low + (high - low) * (index + 1) / bins, 0)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left - 0.6, 0.4):.1f}" '
            f'height="{bottom - top:.1f}" fill="{COLOURS[0]}"/>'
        )
    return _svg(parts, f"distribution of {x_label}", 190)


def legend(series: Sequence[Series]) -> str:
    """Colours and names under a plot; none for a single series."""
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


def _widened(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = ends
    if high <= low:
        return low - 0.5, high + 0.5
    return low, high + 0.04 * (high - low)


def _svg(parts: Sequence[str], label: str, height: int = HEIGHT) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label, quote=True)}">{body}</svg>'
