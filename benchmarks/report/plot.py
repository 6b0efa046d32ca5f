"""The picture of a report: latencies with their spread, throughput over the batch, stages, start-up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..harness import roofline
from .format import START_UP_STAGES
from .svg import COLOURS, ROW, WIDTH, Axis, Chart, document, legend, rows_axis

Row = Mapping[str, Any]


def draw(report: Mapping[str, Any]) -> str:
    """SVG of everything in a report that has more than one number."""
    charts: list[Chart] = []
    if "edit" in report:
        rows = [row for row in report["edit"]["rows"] if "rounds" in row]
        for side in dict.fromkeys(row["resolution"] for row in rows):
            charts.append(latencies(report, [row for row in rows if row["resolution"] == side], side))
        if report["edit"]["stages"]:
            charts.append(stages(report["edit"]["stages"]))
    if "batch" in report:
        charts.append(throughput([row for row in report["batch"]["rows"] if "figures" in row]))
    if "start-up" in report:
        charts.append(start_up([row for row in report["start-up"]["rows"] if row["runs"] and not row["refused"]]))
    if "train" in report:
        rows = [row for row in report["train"]["rows"] if "rounds" in row]
        charts.append(spread([row["name"] for row in rows], rows, "A training step"))
    return document([chart for chart in charts if chart.height])


def latencies(report: Mapping[str, Any], rows: Sequence[Row], side: int) -> Chart:
    """Spread of the times, and the roofline of each precision as a red line."""
    names = [f"{row['name']} {row['precision']}" for row in rows]
    full = report["networks"]["resolution"]
    title = f"One edit after the other, {side} px{'' if side == full else ' preview'}"
    floors = [roofline.floor(report, row["precision"]) if side == full else None for row in rows]
    return spread(names, rows, title, floors)


def spread(names: Sequence[str], rows: Sequence[Row], title: str, floors: Sequence[float | None] = ()) -> Chart:
    """Per row: all times as dots, a box over the middle half, a stroke at the median."""
    chart = Chart(title)
    if not rows:
        return chart
    values = [np.concatenate([np.asarray(each) for each in row["rounds"]]) for row in rows]
    # The slowest percent may be far out: it is drawn at the edge.
    most = max(float(np.percentile(each, 99)) for each in values)
    axis = rows_axis(chart, names, most, "milliseconds; box: middle half, stroke: median, red: roofline")
    for index, (row, each) in enumerate(zip(rows, values, strict=True)):
        y, colour = index * ROW, COLOURS[index % len(COLOURS)]
        low, high = np.percentile(each, (25, 75))
        for value in each[:: max(1, len(each) // 200)]:
            chart.dot(axis(min(float(value), axis.high)), y + 11, colour, 1.6)
        chart.bar(axis(float(low)), y + 4, axis(float(high)) - axis(float(low)), 14, colour, f"n = {len(each)}")
        middle = axis(row["figures"]["median"])
        chart.line([(middle, y + 2), (middle, y + 20)], "black", 2)
        if index < len(floors) and floors[index] is not None:
            floor = axis(float(floors[index] or 0.0))
            chart.line([(floor, y + 1), (floor, y + 21)], "red", 1.5)
    return chart


def stages(rows: Sequence[Row]) -> Chart:
    chart = Chart("Stages of an edit in plain eager torch, float32")
    times = [row["ms"] if row["device_ms"] is None else row["device_ms"] for row in rows]
    axis = rows_axis(chart, [row["name"] for row in rows], max(times), "milliseconds")
    for index, value in enumerate(times):
        chart.bar(axis(0), index * ROW + 4, axis(value) - axis(0), 14, COLOURS[0], f"{value:.2f} ms")
    return chart


def start_up(rows: Sequence[Row]) -> Chart:
    """Stacked bars: the median of each part."""
    chart = Chart("From nothing to the first picture")
    if not rows:
        return chart
    laps = [
        [float(np.median([run["laps"].get(s, 0.0) for run in row["runs"]])) for s in START_UP_STAGES] for row in rows
    ]
    names = [f"{row['name']} {row['precision']}" for row in rows]
    axis = rows_axis(chart, names, max(map(sum, laps)), "milliseconds")
    for index, each in enumerate(laps):
        done = 0.0
        for stage, (name, value) in enumerate(zip(START_UP_STAGES, each, strict=True)):
            x = axis(done)
            chart.bar(x, index * ROW + 4, axis(done + value) - x, 14, COLOURS[stage], f"{name}: {value:.0f} ms")
            done += value
    legend(chart, START_UP_STAGES)
    return chart


def throughput(rows: Sequence[Row]) -> Chart:
    """Pictures per second over the batch, one curve per contestant."""
    chart = Chart("Throughput of batches, pictures per second")
    if not rows:
        return chart
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        rate = 1e3 * row["batch"] / row["figures"]["median"]
        curves.setdefault(f"{row['name']} {row['precision']}", []).append((row["batch"], rate))
    sizes = sorted({size for curve in curves.values() for size, _ in curve})
    x = Axis(math.log2(sizes[0]), max(math.log2(sizes[-1]), math.log2(sizes[0]) + 1), 60, WIDTH - 20)
    y = Axis(0.0, 1.05 * max(rate for curve in curves.values() for _, rate in curve), 200, 0)
    for size in sizes:
        chart.line([(x(math.log2(size)), 0), (x(math.log2(size)), 200)], "#ddd", 1)
        chart.text(x(math.log2(size)), 214, str(size), "middle", 11)
    for tick in y.ticks():
        chart.line([(60, y(tick)), (WIDTH - 20, y(tick))], "#ddd", 1)
        chart.text(54, y(tick) + 4, f"{tick:g}", "end", 11)
    for index, curve in enumerate(curves.values()):
        points = [(x(math.log2(size)), y(rate)) for size, rate in curve]
        chart.line(points, COLOURS[index % len(COLOURS)], 2)
        for point in points:
            chart.dot(*point, COLOURS[index % len(COLOURS)])
    chart.height = 226
    legend(chart, list(curves))
    return chart
