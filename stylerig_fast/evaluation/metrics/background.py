"""What edits change beside the face, hair, clothes and background: mean colour difference, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stylerig_fast.evaluation.comparison import MethodOutcome
from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, TRANSFER, evaluated_kinds
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.statistics import mean, ratio

_BESIDE = "style mixing"


@register_metric()
def background(measured: MeasuredEdits) -> Estimates:
    """Change around the face by kind of edit, ``background.<kind>``."""
    found = {}
    for kind in (*EDIT_KINDS.values(), TRANSFER):
        results = [result for result in measured.of(kind) if len(result.background)]
        if results:
            found[f"background.{kind.name}"] = mean(torch.stack([each.background for each in results], dim=1))
    return found


@register_metric({f"background.{kind.name}_over_style_mixing": Goal(high=0.5) for kind in evaluated_kinds()})
def background_over_style_mixing(outcomes: Sequence[MethodOutcome], method: str) -> Estimates:
    """What the rig changes around the face over what style mixing does, by kind of edit, on the same people."""
    whole = {(each.method, each.kind): each.background for each in outcomes if each.strength == 1.0}
    return {
        f"background.{kind}_over_{_BESIDE.replace(' ', '_')}": ratio(whole[method, kind], whole[_BESIDE, kind])
        for kind in EDIT_KINDS
        if (method, kind) in whole and (_BESIDE, kind) in whole
    }
