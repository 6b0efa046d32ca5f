"""Pieces of the page: tables, cards, picture grids, figures with captions. Everything that is text is escaped."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image

from stylerig_fast.evaluation.metrics.results import Report
from stylerig_fast.evaluation.paper_figures import Grid
from stylerig_fast.measurement.statistics import Estimate

_QUALITY = 82  # of WebP


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], marked: Sequence[str] = ()) -> str:
    """A table; rows whose first cell is in ``marked`` are bold, and cells "met" and "missed" are coloured."""
    head = "".join(f"<th>{escape(h)}</th>" for h in headings)
    body = []
    for row in rows:
        cells = "".join(
            f'<td class="{cell}">{cell}</td>' if cell in ("met", "missed") else f"<td>{escape(cell)}</td>"
            for cell in row
        )
        body.append(f'<tr class="rig">{cells}</tr>' if row and row[0] in marked else f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def number(value: float) -> str:
    """Three decimals below ten, fewer above; a dash for what could not be measured."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def ends(estimate: Estimate) -> str:
    """The estimate's interval."""
    return f"{number(estimate.low)} … {number(estimate.high)}"


def report_table(report: Report, other: Report | None = None) -> str:
    """All estimates with intervals and goals, and those of a second report beside them."""
    headings = ["metric", "value", "95 % interval", "people", "goal", ""]
    headings += ["second", "95 % interval"] if other is not None else []
    rows = []
    for name, estimate in report.estimates.items():
        goal = report.goals.get(name)
        verdict = "" if goal is None else "met" if goal.met(estimate) else "missed"
        row = [name, number(estimate.value), ends(estimate), str(estimate.n)]
        row += [str(goal or ""), verdict]
        if other is not None:
            beside = other.estimates.get(name)
            row += ["", ""] if beside is None else [
                number(beside.value), ends(beside)
            ]  # fmt: skip
        rows.append(row)
    return table(headings, rows)


def cards(report: Report, names: dict[str, str], other: Report | None = None) -> str:
    """The estimates that matter most, large; ``names`` gives the label by the estimate's name."""
    parts = []
    for name, label in names.items():
        estimate, goal = report.estimates.get(name), report.goals.get(name)
        if estimate is None:
            continue
        verdict = "" if goal is None else "met" if goal.met(estimate) else "missed"
        aim = f"goal {goal}, {verdict}" if goal is not None else ends(estimate)
        beside = other.estimates.get(name) if other is not None else None
        second = f" <small>second {number(beside.value)}</small>" if beside is not None else ""
        parts.append(
            f'<div class="card {verdict}"><span>{escape(label)}</span><b>{number(estimate.value)}{second}</b>'
            f"<small>{escape(aim)}</small></div>"
        )
    return f'<div class="cards">{"".join(parts)}</div>'


def figure(caption: str, content: str) -> str:
    """A plot under its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{content}</figure>"


def plots(figures: Sequence[str]) -> str:
    """Estimates side by side, as many as fit."""
    return f'<div class="plots">{"".join(figures)}</div>'


def picture_grid(grid: Grid) -> str:
    """Pictures with their headings, each a WebP data URI."""
    height, width = grid.pictures.shape[:2]
    labelled = any(grid.rows)
    columns = f"{'minmax(90px, 0.7fr) ' if labelled else ''}repeat({width}, 1fr)"
    parts = []
    if any(grid.columns):
        parts.append("<span></span>" if labelled else "")
        parts += [f"<span>{escape(name)}</span>" for name in grid.columns]
    for row in range(height):
        parts.append(f'<span class="row">{escape(grid.rows[row])}</span>' if labelled else "")
        for column in range(width):
            heading = grid.columns[column] or f"step {column + 1}"
            label = escape(f"{grid.rows[row]} {heading}".strip(), quote=True)
            source = data_uri(Image.fromarray(grid.pictures[row, column].numpy()))
            parts.append(f'<img src="{source}" alt="{label}" title="{label}" loading="lazy">')
    least = 84 * (width + labelled)
    return (
        f'<div class="scroll"><div class="tiles" style="grid-template-columns: {columns}; --least: {least}px">'
        f"{''.join(parts)}</div></div>"
    )


def data_uri(image: Image.Image) -> str:
    """A picture inside the page."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
