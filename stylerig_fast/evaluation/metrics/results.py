"""A report: figures with intervals, the goals they are held against, JSON and a printed table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from stylerig_fast.measurement.statistics import Figure, plain_number


@dataclass(frozen=True)
class Goal:
    """The range that a figure should lie in."""

    low: float = -math.inf
    high: float = math.inf

    def met(self, figure: Figure) -> bool:
        return self.low <= figure.value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"≤ {self.high:g}"
        return f"≥ {self.low:g}" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Report:
    """Figures of one measurement.

    Attributes:
        title: what was measured.
        figures: name to figure; the part of a name before the first dot groups the table.
        goals: for some of the figures.
        settings: how it was measured: people, seed, resolution, ...
    """

    title: str
    figures: Mapping[str, Figure]
    goals: Mapping[str, Goal] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def missed(self) -> list[str]:
        """Names of the figures outside their goal; one that could not be measured counts as missed."""
        return [name for name, goal in self.goals.items() if name in self.figures and not goal.met(self.figures[name])]

    def to_json(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and None (for NaN), ready for ``json.dumps``."""
        figures: dict[str, object] = {}
        for name, figure in self.figures.items():
            plain: dict[str, object] = {k: plain_number(v) for k, v in dataclasses.asdict(figure).items()}
            if name in self.goals:
                plain |= {"goal": str(self.goals[name]), "met": self.goals[name].met(figure)}
            figures[name] = plain
        return {"title": self.title, "settings": dict(self.settings), "figures": figures, "missed": self.missed}

    def print(self) -> None:
        """Prints the table to standard output."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=self.title, title_justify="left")
        for heading in ("figure", "value", "95 % interval", "people", "goal", ""):
            table.add_column(heading, justify="left" if heading in ("figure", "") else "right", no_wrap=True)
        group = None
        for name, figure in self.figures.items():
            if group is not None and name.split(".")[0] != group:
                table.add_section()
            group = name.split(".")[0]
            goal = self.goals.get(name)
            verdict = "" if goal is None else "met" if goal.met(figure) else "[bold]missed[/bold]"
            interval = f"{figure.low:.3f} … {figure.high:.3f}"
            table.add_row(name, f"{figure.value:.3f}", interval, str(figure.n), str(goal or ""), verdict)
        Console().print(table)
