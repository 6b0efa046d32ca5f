"""A report: estimates with intervals, the goals they are held against, JSON and a printed table."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from stylerig_fast.measurement.statistics import Estimate, plain_number


@dataclass(frozen=True)
class Goal:
    """The range that an estimate should lie in."""

    low: float = -math.inf
    high: float = math.inf

    def met(self, estimate: Estimate) -> bool:
        return self.low <= estimate.value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"≤ {self.high:g}"
        return f"≥ {self.low:g}" if math.isinf(self.high) else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Report:
    """Estimates, and how they were made.

    Attributes:
        title: what was measured.
        estimates: by name; the part of a name before the first dot groups the table.
        goals: ranges, by the estimate's name.
        settings: how it was measured: people, seed, resolution, ...
    """

    title: str
    estimates: Mapping[str, Estimate]
    goals: Mapping[str, Goal] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def checked(self) -> dict[str, Goal]:
        """The goals of the estimates that are there."""
        return {name: goal for name, goal in self.goals.items() if name in self.estimates}

    @property
    def missed(self) -> list[str]:
        """Names of the estimates outside their goal; one that could not be measured (NaN) counts as missed."""
        return [name for name, goal in self.checked.items() if not goal.met(self.estimates[name])]

    def to_json(self) -> dict[str, object]:
        """Plain dicts, lists, numbers and None (for NaN), ready for ``json.dumps``."""
        estimates: dict[str, object] = {}
        for name, estimate in self.estimates.items():
            plain: dict[str, object] = {k: plain_number(v) for k, v in dataclasses.asdict(estimate).items()}
            if name in self.goals:
                plain |= {"goal": str(self.goals[name]), "met": self.goals[name].met(estimate)}
            estimates[name] = plain
        return {"title": self.title, "settings": dict(self.settings), "metrics": estimates, "missed": self.missed}

    def print(self) -> None:
        """Prints the table to standard output."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=self.title, title_justify="left")
        for heading in ("metric", "value", "95 % interval", "people", "goal", ""):
            table.add_column(heading, justify="left" if heading in ("metric", "") else "right", no_wrap=True)
        group = None
        for name, estimate in self.estimates.items():
            if group is not None and name.split(".")[0] != group:
                table.add_section()
            group = name.split(".")[0]
            goal = self.goals.get(name)
            verdict = "" if goal is None else "met" if goal.met(estimate) else "[bold]missed[/bold]"
            interval = f"{estimate.low:.3f} … {estimate.high:.3f}"
            table.add_row(name, f"{estimate.value:.3f}", interval, str(estimate.n), str(goal or ""), verdict)
        Console().print(table)
