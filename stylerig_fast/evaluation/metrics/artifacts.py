"""What edits break: faces that are no longer found, and glasses that come or go."""

from __future__ import annotations

import torch

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.glasses import worn
from stylerig_fast.measurement.statistics import mean, share


@register_metric({"detected.share": Goal(low=0.99)})
def detected(measured: MeasuredEdits) -> Estimates:
    """Share of pictures in which a face was found, before and after the core edits."""
    found = [measured.before.detected, *(result.picture.detected for result in measured.core)]
    return {"detected.share": share(torch.stack(found, dim=1))}


@register_metric()
def glasses(measured: MeasuredEdits) -> Estimates:
    """Share of the edits of each kind that put glasses on or take them off; pictures that show neither are left out."""
    before = worn(measured.before.glasses)
    found = {"glasses.worn": mean(before)}
    for kind in EDIT_KINDS.values():
        results = measured.of(kind)
        if results:
            after = torch.stack([worn(result.picture.glasses) for result in results], dim=1)
            found[f"glasses.changed_by_{kind.name}"] = mean((after - before[:, None]).abs())
    return found
