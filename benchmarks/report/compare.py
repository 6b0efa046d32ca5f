"""``stylerig-bench compare``: two reports, row by row, and whether each difference is more than noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from ..harness.latency_stats import Rounds, bootstrap, interval, median_of_rounds
from .files import read
from .tables import NOTHING, number, table

# Fields of the setting that have to agree for a comparison of the code alone.
SAME = ("cpu", "cores", "threads", "versions", "gpu", "system")


@dataclass(kw_only=True)
class CompareCommand:
    """Tell which rows of report B are faster or slower than those of report A by more than the noise."""

    files: Annotated[tuple[Path, Path], tyro.conf.Positional]
    """Two files that --json wrote: before and after."""
    seed: int = 0
    """Seed of the bootstrap."""

    def run(self) -> None:
        before, after = (read(path) for path in self.files)
        print(compared(before, after, self.seed))


@dataclass(frozen=True)
class Difference:
    """The times of one row in two reports.

    Attributes:
        before: median and its 95 % interval, milliseconds.
        after: likewise.
        ratio: before / after, over 1 if the row became faster.
        ratio_interval: its 95 % interval.
        verdict: "no difference" where the two intervals overlap.
    """

    before: tuple[float, float, float]
    after: tuple[float, float, float]
    ratio: float
    ratio_interval: tuple[float, float]
    verdict: str


def difference(before: Rounds, after: Rounds, seed: int = 0) -> Difference:
    """Compares the measurements of a row, each a list of rounds of milliseconds.

    Args:
        before: rounds of report A.
        after: rounds of report B.
        seed: of the bootstrap.
    """
    draws = [bootstrap(rounds, seed + index) for index, rounds in enumerate((before, after))]
    a, b = ((median_of_rounds(r), *interval(d)) for r, d in zip((before, after), draws, strict=True))
    if a[1] <= b[2] and b[1] <= a[2]:
        verdict = "no difference"
    else:
        verdict = "faster" if b[0] < a[0] else "slower"
    return Difference(a, b, a[0] / b[0], interval(np.asarray(draws[0] / draws[1])), verdict)


def rows_of(report: Mapping[str, Any]) -> Iterator[tuple[str, Rounds | None]]:
    """Names of all rows of a report, and their measurements: None for a refused row."""
    for section in ("edit", "batch", "start-up", "train", "studio"):
        for row in report.get(section, {}).get("rows", ()):
            size = (
                f"{row['resolution']} px" if "resolution" in row else f"batch {row['batch']}" if "batch" in row else ""
            )
            name = " ".join(part for part in (f"{section}:", size, row["name"], row.get("precision", "")) if part)
            if section == "start-up":
                runs = [[sum(run["laps"].values())] for run in row["runs"]]
                yield name, runs if runs and not row["refused"] else None
            else:
                yield name, row.get("rounds")
    for row in report.get("ops", {}).get("rows", ()):
        yield f"ops: {row['name']}", [[row["ours"]]]


def compared(before: Mapping[str, Any], after: Mapping[str, Any], seed: int = 0) -> str:
    """The comparison as Markdown.

    Args:
        before: report A.
        after: report B.
        seed: of the bootstrap.
    """
    parts = []
    for name in SAME:
        a, b = before["setting"].get(name), after["setting"].get(name)
        if a != b:
            parts.append(f"**The reports differ in {name}: {a} and {b}.**\n")
    for label, report in (("A", before), ("B", after)):
        parts.append(f"{label}: commit {report['setting']['commit'] or 'unknown'}, {report['setting']['date']}\n")
        if warning := report.get("load", {}).get("warning"):
            parts.append(f"**{label}: {warning}.**\n")
    known, lines = dict(rows_of(after)), []
    for name, rounds in rows_of(before):
        other = known.pop(name, "missing")
        if rounds is None or other is None or isinstance(other, str):
            reason = "only in A" if isinstance(other, str) else "refused in A" if rounds is None else "refused in B"
            lines.append([name, NOTHING, NOTHING, NOTHING, reason])
            continue
        lines.append([name, *_cells(rounds, other, seed)])
    lines += [[name, NOTHING, NOTHING, NOTHING, "only in B"] for name in known]
    columns = ["row", "A ms (95 %)", "B ms (95 %)", "A / B (95 %)", "B is"]
    return "\n".join([*parts, table(columns, lines)])


def _cells(before: Rounds, after: Rounds, seed: int) -> list[str]:
    if min(sum(map(len, before)), sum(map(len, after))) < 2:
        medians = median_of_rounds(before), median_of_rounds(after)
        ratio = f"{medians[0] / medians[1]:.2f}"
        return [*map(number, medians), ratio, "not known: a single measurement has no interval"]
    row = difference(before, after, seed)
    a, b = (f"{number(m)} ({number(low)} to {number(high)})" for m, low, high in (row.before, row.after))
    low, high = row.ratio_interval
    return [a, b, f"{row.ratio:.2f} ({low:.2f} to {high:.2f})", row.verdict]
