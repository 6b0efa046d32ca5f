"""How much an evaluation measures."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class EvaluationPlan:
    """How much is measured; `EvaluationPlan.quick` for a first look.

    Attributes:
        people: who are edited by the rig.
        compared: of them, who are edited by every method.
        swept: of them, on whom the controls' reach is measured.
        mirrored: of them, whose mirror images are measured too.
        fresh: other portraits, for the Fréchet distance.
        fitted: training portraits that baselines are fitted on.
        strengths: of every method's edits in the comparison, 1 among them.
        short: fewer amounts per edit.
        seed: of every draw.
        resolution: of the edited pictures.
        batch: people rendered at once.
    """

    people: int = 500
    compared: int = 24
    swept: int = 40
    mirrored: int = 100
    fresh: int = 1000
    fitted: int = 4000
    strengths: tuple[float, ...] = (0.7, 1.0, 1.3)
    short: bool = False
    seed: int = 0
    resolution: int = 512
    batch: int = 4

    @staticmethod
    def full(people: int | None = None, seed: int = 0, resolution: int = 512) -> EvaluationPlan:
        """The default plan, of 500 people, or of other people: no more of them are compared, swept and mirrored."""
        plan = EvaluationPlan(people=people or 500, seed=seed, resolution=resolution)
        fewer = {name: min(getattr(plan, name), plan.people) for name in ("compared", "swept", "mirrored")}
        return replace(plan, **fewer)

    @staticmethod
    def quick(people: int | None = None, seed: int = 0, resolution: int = 512) -> EvaluationPlan:
        """A plan of minutes, of 32 or other people."""
        people = people or 32
        return EvaluationPlan(people, min(6, people), min(5, people), people, 128, 1500, (1.0,), True, seed, resolution)
