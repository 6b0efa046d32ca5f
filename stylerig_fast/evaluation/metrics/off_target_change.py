"""What edits change without being asked to: the other measures, over the size of the edit.

The picture's change of a measure less the rendered face model's (turning a head in the same light does change which
cheek is brighter), in standard deviations of that measure over portraits, over the size of the edit in standard
deviations of what it edits.
"""

from __future__ import annotations

import torch

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.edit_accuracy import change
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, EditKind, evaluated_kinds
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.portrait_measures import PortraitStd
from stylerig_fast.measurement.statistics import ratio

# Edits of less than this share of the kind's largest are left out: level 0 of a closed mouth asks for nothing.
_LEAST_SHARE = 0.25


@register_metric({f"off_target_change.{kind.name}": Goal(high=0.12) for kind in evaluated_kinds()})
def off_target_change(measured: MeasuredEdits, std: PortraitStd) -> Estimates:
    """Per kind of edit (``off_target_change.yaw``), per measure (``.yaw_to_pitch``), and its signed mean.

    ``off_target_change_mean.yaw_to_pitch`` is in the units of the measure.
    """
    found: Estimates = {}
    means: Estimates = {}
    for kind in EDIT_KINDS.values():
        if kind.kept and measured.of(kind):
            found |= _of_kind(kind, measured, std, means)
    return found | means


def _of_kind(kind: EditKind, measured: MeasuredEdits, std: PortraitStd, means: Estimates) -> Estimates:
    results = measured.of(kind)
    requested = change(results, measured, kind.measure, rendered=True).abs() / std[kind.measure]
    found: Estimates = {}
    moved_by_measure, edited = [], torch.zeros(len(requested), dtype=requested.dtype)
    for other in kind.kept:
        moved = change(results, measured, other) - change(results, measured, other, rendered=True)
        known = torch.isfinite(moved) & torch.isfinite(requested)
        zero = torch.zeros_like(requested)
        size = torch.where(known, requested, zero)
        weight = (size > _LEAST_SHARE * size.amax()).double()
        scaled, edited = (torch.where(known, moved.abs() / std[other], zero) * weight).sum(1), (size * weight).sum(1)
        found[f"off_target_change.{kind.name}_to_{other}"] = ratio(scaled, edited)
        signed = torch.where(known, moved, zero) * weight
        means[f"off_target_change_mean.{kind.name}_to_{other}"] = ratio(signed.sum(1), (known * weight).sum(1))
        moved_by_measure.append(scaled)
    found[f"off_target_change.{kind.name}"] = ratio(torch.stack(moved_by_measure).mean(0), edited)
    return found
