"""Whether edits do what was requested: `measurement.edit_accuracy`, which training calibrates with, and its goals."""

from __future__ import annotations

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement import edit_accuracy as measurement
from stylerig_fast.measurement.edit_kinds import EditKind, evaluated_kinds
from stylerig_fast.measurement.edit_runner import MeasuredEdits


def _goals(kind: EditKind) -> dict[str, Goal]:
    goals = {f"{kind.name}.gain": Goal(*kind.gain_goal)}
    if kind.error_goal is not None:
        goals[f"{kind.name}.error"] = Goal(high=kind.error_goal)
    if kind.units:
        goals[f"{kind.name}.monotone_share"] = Goal(low=0.9)
    return goals


GOALS = {
    **{name: goal for kind in evaluated_kinds() for name, goal in _goals(kind).items()},
    "transfer.yaw_error": Goal(high=4.0),
    "transfer.pitch_error": Goal(high=4.0),
    "light.angle_median": Goal(high=25.0),
    "light.requested_side_share": Goal(low=0.95),
}


@register_metric(GOALS)
def edit_accuracy(measured: MeasuredEdits) -> Estimates:
    """Gains, errors and monotony, ``<kind>.gain`` and so on."""
    return measurement.edit_accuracy(measured)
