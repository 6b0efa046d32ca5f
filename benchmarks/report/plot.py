"""The plot of a report: latencies with their spread, throughput over the batch, stages, start-up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylerig_fast.plotting import COLOURS, Panel, Scale, document, ticks

from ..harness import roofline
from .format import START_UP_STAGES

Row = Mapping[str, Any]

# Pixels: of the plot, of the labels at the left of rows, of a row.
WIDTH, LABELS, ROW = 900, 230, 22
ROOFLINE = "#e8302a"


def draw(report: Mapping[str, Any]) -> str:
    """The sections of a report as one SVG file."""
    panels: list[Panel] = []
    if "edit" in report:
        rows = [row for row in report["edit"]["rows"] if "rounds" in row]
        for side in dict.fromkeys(row["resolution"] for row in rows):
            panels.append(latencies(report, [row for row in rows if row["resolution"] == side], side))
        if report["edit"]["stages"]:
            panels.append(stages(report["edit"]["stages"]))
    if "batch" in report:
        panels.append(throughput([row for row in report["batch"]["rows"] if "figures" in row]))
    if "start-up" in report:
        panels.append(start_up([row for row in report["start-up"]["rows"] if row["runs"] and not row["refused"]]))
    if "train" in report:
        rows = [row for row in report["train"]["rows"] if "rounds" in row]
        panels.append(spread([row["name"] for row in rows], rows, "A training step"))
    return document([panel for panel in panels if panel.height], WIDTH)


def latencies(report: Mapping[str, Any], rows: Sequence[Row], side: int) -> Panel:
    """Times of the edits of one size, with the roofline of each precision.

    Args:
        report: with its networks and peak rates.
        rows: of this size.
        side: height of the pictures in pixels.
    """
    names = [f"{row['name']} {row['precision']}" for row in rows]
    full = report["networks"]["resolution"]
    title = f"One edit after the other, {side} px{'' if side == full else ' preview'}"
    floors = [roofline.floor(report, row["precision"]) if side == full else None for row in rows]
    return spread(names, rows, title, floors)


def spread(names: Sequence[str], rows: Sequence[Row], title: str, floors: Sequence[float | None] = ()) -> Panel:
    """Times of rows: all of them as dots, a box from the first to the third quartile, a stroke at the median.

    Args:
        names: labels of the rows.
        rows: with their measurements.
        title: of the panel.
        floors: the roofline of each row in milliseconds, if any.
    """
    panel = Panel(title=title)
    if not rows:
        return panel
    values = [np.concatenate([np.asarray(each) for each in row["rounds"]]) for row in rows]
    # The slowest percent may be outliers: they are drawn at the edge.
    most = max(float(np.percentile(each, 99)) for each in values)
    axis = rows_axis(panel, names, most, "milliseconds; box: middle half, stroke: median, red: roofline")
    for index, (row, each) in enumerate(zip(rows, values, strict=True)):
        y, colour = index * ROW, COLOURS[index % len(COLOURS)]
        low, high = np.percentile(each, (25, 75))
        for value in each[:: max(1, len(each) // 200)]:
            panel.dot(axis(axis.clip(float(value))), y + 11, colour, 1.6)
        panel.bar(axis(float(low)), y + 4, axis(float(high)) - axis(float(low)), 14, colour, f"n = {len(each)}")
        middle = axis(row["figures"]["median"])
        panel.line([(middle, y + 2), (middle, y + 20)], width=2)
        if index < len(floors) and floors[index] is not None:
            floor = axis(float(floors[index] or 0.0))
            panel.line([(floor, y + 1), (floor, y + 21)], ROOFLINE, 1.5)
    return panel


def stages(rows: Sequence[Row]) -> Panel:
    """Bars of the stages of an edit."""
    panel = Panel(title="Stages of an edit in plain eager torch, float32")
    times = [row["ms"] if row["device_ms"] is None else row["device_ms"] for row in rows]
    axis = rows_axis(panel, [row["name"] for row in rows], max(times), "milliseconds")
    for index, value in enumerate(times):
        panel.bar(axis(0), index * ROW + 4, axis(value) - axis(0), 14, COLOURS[0], f"{value:.2f} ms")
    return panel


def start_up(rows: Sequence[Row]) -> Panel:
    """Stacked bars of the median of each stage of a cold start."""
    panel = Panel(title="From nothing to the first picture")
    if not rows:
        return panel
    laps = [
        [float(np.median([run["laps"].get(s, 0.0) for run in row["runs"]])) for s in START_UP_STAGES] for row in rows
    ]
    names = [f"{row['name']} {row['precision']}" for row in rows]
    axis = rows_axis(panel, names, max(map(sum, laps)), "milliseconds")
    for index, each in enumerate(laps):
        done = 0.0
        for stage, (name, value) in enumerate(zip(START_UP_STAGES, each, strict=True)):
            x = axis(done)
            panel.bar(x, index * ROW + 4, axis(done + value) - x, 14, COLOURS[stage], f"{name}: {value:.0f} ms")
            done += value
    legend(panel, START_UP_STAGES)
    return panel


def throughput(rows: Sequence[Row]) -> Panel:
    """Pictures per second over the batch, one curve for each system."""
    panel = Panel(title="Throughput of batches, pictures per second")
    if not rows:
        return panel
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        rate = 1e3 * row["batch"] / row["figures"]["median"]
        curves.setdefault(f"{row['name']} {row['precision']}", []).append((row["batch"], rate))
    sizes = sorted({size for curve in curves.values() for size, _ in curve})
    x = Scale(math.log2(sizes[0]), max(math.log2(sizes[-1]), math.log2(sizes[0]) + 1), 60, WIDTH - 20)
    y = Scale(0.0, 1.05 * max(rate for curve in curves.values() for _, rate in curve), 200, 0)
    for size in sizes:
        panel.grid(x(math.log2(size)), 0, x(math.log2(size)), 200)
        panel.text(x(math.log2(size)), 214, str(size), "middle", "tick")
    for tick in ticks(y.low, y.high):
        panel.grid(60, y(tick), WIDTH - 20, y(tick))
        panel.text(54, y(tick) + 4, f"{tick:g}", "end", "tick")
    for index, curve in enumerate(curves.values()):
        points = [(x(math.log2(size)), y(rate)) for size, rate in curve]
        panel.line(points, COLOURS[index % len(COLOURS)], 2)
        for point in points:
            panel.dot(*point, COLOURS[index % len(COLOURS)], 3)
    panel.height = 226
    legend(panel, list(curves))
    return panel


def rows_axis(panel: Panel, labels: Sequence[str], most: float, unit: str) -> Scale:
    """Draws labels at the left, one row each, and a horizontal axis below.

    Args:
        panel: to draw in; its height is set.
        labels: of the rows.
        most: the largest value.
        unit: of the values.

    Returns:
        The scale of the axis, from 0.
    """
    axis = Scale(0.0, most * 1.02 or 1.0, LABELS, WIDTH - 20)
    bottom = len(labels) * ROW + 4
    for tick in ticks(axis.low, axis.high):
        panel.grid(axis(tick), 0, axis(tick), bottom)
        panel.text(axis(tick), bottom + 14, f"{tick:g}", "middle", "tick")
    for index, label in enumerate(labels):
        panel.text(LABELS - 8, index * ROW + 15, label, "end")
    panel.text(WIDTH - 20, bottom + 28, unit, "end", "tick")
    panel.height = bottom + 34
    return axis


def legend(panel: Panel, names: Sequence[str]) -> None:
    """Draws colours and names below the panel, in as many lines as they take."""
    x = float(LABELS)
    for index, name in enumerate(names):
        panel.bar(x, panel.height - 2, 10, 10, COLOURS[index % len(COLOURS)])
        panel.text(x + 14, panel.height + 7, name, kind="tick")
        x += 26 + 6.6 * len(name)
        if x > WIDTH - 120:
            x, panel.height = float(LABELS), panel.height + 16
    panel.height += 18
