"""The rig beside other methods: error, identity distance, off-target and background change, method by method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.measurement.edit_accuracy import change
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, EditKind
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.portrait_measures import PortraitStd
from stylerig_fast.measurement.statistics import Estimate, mean, plain_number, ratio, slope


@dataclass(frozen=True)
class MethodOutcome:
    """What one method's edits of one kind did, person by person.

    Attributes:
        method, kind: names of both.
        strength: what the method's offset was multiplied by.
        requested, measured: ``(P, K)`` changes requested and measured in the picture, in the units of the measure.
        requested_sum, error_sum: ``(P,)`` sums over the K edits of the requested change, and of its distance to the
            measured one; 0 where no face was found.
        requested_std: ``(P,)`` the first of these in standard deviations over portraits.
        off_target: ``(P,)`` likewise, mean change of the measures that should stay, in standard deviations.
        identity: ``(P,)`` mean identity distance to the unedited person; NaN where no face was found.
        background: ``(P,)`` mean change of hair, clothes and background; likewise.
        detected: share of pictures with a face.
    """

    method: str
    kind: str
    strength: float
    requested: Tensor
    measured: Tensor
    requested_sum: Tensor
    error_sum: Tensor
    requested_std: Tensor
    off_target: Tensor
    identity: Tensor
    background: Tensor
    detected: float


@dataclass(frozen=True)
class MethodScore:
    """One method on one kind of edit.

    Attributes:
        method, kind: names of both.
        strength: what the method's offset was multiplied by.
        gain: change in the picture over the requested change.
        error: mean distance of the two, as a share of the mean requested change: 1 is no edit at all.
        identity: distance to the unedited person.
        off_target_change: mean change of the measures that should stay, over the requested change, both in standard
            deviations over portraits. A method that does nothing has none.
        background: change of hair, clothes and background.
        detected: share of pictures with a face.
    """

    method: str
    kind: str
    strength: float
    gain: Estimate
    error: Estimate
    identity: Estimate
    off_target_change: Estimate
    background: Estimate
    detected: float


def method_outcomes(found: Mapping[tuple[str, float], MeasuredEdits], std: PortraitStd) -> list[MethodOutcome]:
    """Outcomes of all methods in all kinds of edits.

    Args:
        found: by method and strength, of the same people.
        std: standard deviations of the measures over portraits.
    """
    return [
        _outcome(method, strength, kind, measured, std)
        for kind in EDIT_KINDS.values()
        for (method, strength), measured in found.items()
        if measured.of(kind)
    ]


def _outcome(method: str, strength: float, kind: EditKind, measured: MeasuredEdits, std: PortraitStd) -> MethodOutcome:
    results = measured.of(kind)
    requested, got = change(results, measured, kind.measure, rendered=True), change(results, measured, kind.measure)
    known, zero = torch.isfinite(requested) & torch.isfinite(got), torch.zeros_like(requested)
    moved = [change(results, measured, name) - change(results, measured, name, rendered=True) for name in kind.kept]
    off_target = torch.stack([each.abs() / std[name] for each, name in zip(moved, kind.kept, strict=True)]).nanmean(0)
    distances = torch.stack([result.picture.descriptor_distance(measured.before) for result in results], dim=1)
    requested_sum = torch.where(known, requested.abs(), zero).sum(1)
    return MethodOutcome(
        method,
        kind.name,
        strength,
        requested,
        got,
        requested_sum,
        error_sum=torch.where(known, (got - requested).abs(), zero).sum(1),
        requested_std=requested_sum / std[kind.measure],
        off_target=torch.where(known & torch.isfinite(off_target), off_target, zero).sum(1),
        identity=distances.double().nanmean(1),
        background=torch.stack([result.background for result in results], dim=1).double().nanmean(1),
        detected=float(torch.stack([result.picture.detected for result in results]).double().mean()),
    )


def method_score(outcome: MethodOutcome) -> MethodScore:
    """The estimates of one method on one kind of edit."""
    return MethodScore(
        outcome.method,
        outcome.kind,
        outcome.strength,
        gain=slope(outcome.requested, outcome.measured),
        error=ratio(outcome.error_sum, outcome.requested_sum),
        identity=mean(outcome.identity),
        off_target_change=ratio(outcome.off_target, outcome.requested_std),
        background=mean(outcome.background),
        detected=outcome.detected,
    )


def scores_json(scores: Sequence[MethodScore]) -> list[dict[str, object]]:
    """Plain values."""
    return [_score_json(score) for score in scores]


def _score_json(score: MethodScore) -> dict[str, object]:
    names = ("gain", "error", "identity", "off_target_change", "background")
    estimates: dict[str, Estimate] = {name: getattr(score, name) for name in names}
    plain = {name: plain_number(each.value) for name, each in estimates.items()}
    intervals = {f"{name}_interval": [plain_number(e.low), plain_number(e.high)] for name, e in estimates.items()}
    head = {"method": score.method, "kind": score.kind, "strength": score.strength, "detected": score.detected}
    return {**head, **plain, **intervals}
