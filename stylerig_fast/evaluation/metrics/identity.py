"""How far edits move the person: distances of dlib's descriptor, and cosines of a network that the user brings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, TRANSFER
from stylerig_fast.measurement.edit_runner import EditResult, MeasuredEdits
from stylerig_fast.measurement.statistics import mean

GOALS = {
    "identity.yaw_15": Goal(high=0.32),
    "identity.expression": Goal(high=0.20),
    "identity.light": Goal(high=0.20),
}


@register_metric(GOALS)
def identity(measured: MeasuredEdits) -> Estimates:
    """Distance to the unedited person, ``identity.<kind>``, of core expressions ``identity.expression``.

    ``identity.different_people`` is the distance of two people who were measured. Turns of the head are given by
    their size, ``identity.yaw_15``.
    """
    descriptor = measured.before.descriptor
    if descriptor is None:
        return {}
    found = {}
    yaws = measured.of(EDIT_KINDS["yaw"])
    for size in sorted({abs(result.edit.amount) for result in yaws}):
        same = [result for result in yaws if abs(result.edit.amount) == size]
        found[f"identity.yaw_{size:g}"] = mean(_distances(same, measured))
    groups = {name: group for name, group in _groups(measured).items() if group}
    found |= {f"identity.{name}": mean(_distances(group, measured)) for name, group in groups.items()}
    if "identity" in measured.before.features:
        found |= {f"identity_cosine.{name}": mean(_cosines(group, measured)) for name, group in groups.items()}
    if len(descriptor) > 1:
        between = torch.cdist(descriptor, descriptor).fill_diagonal_(math.nan)
        found["identity.different_people"] = mean(between)
    return found


def _groups(measured: MeasuredEdits) -> dict[str, list[EditResult]]:
    """Edits whose distances are pooled: by kind, at rest apart, and all core expressions that portraits show."""
    groups = {}
    for kind in (*EDIT_KINDS.values(), TRANSFER):
        if kind.name != "yaw":
            groups[kind.name] = [each for each in measured.of(kind) if not kind.units or each.edit.amount > 0]
    groups["expression"] = [
        each
        for kind in EDIT_KINDS.values()
        if kind.core and kind.units
        for each in groups[kind.name]
        if each.edit.amount <= kind.widest_shown
    ]
    return groups


def _distances(results: Sequence[EditResult], measured: MeasuredEdits) -> Tensor:
    return torch.stack([result.picture.descriptor_distance(measured.before) for result in results], dim=1)


def _cosines(results: Sequence[EditResult], measured: MeasuredEdits) -> Tensor:
    """Cosine similarity ``(P, K)`` to the unedited person by the identity network that the user brought."""
    before = measured.before.features["identity"]
    similarities = [torch.cosine_similarity(result.picture.features["identity"], before) for result in results]
    return torch.stack(similarities, dim=1)
