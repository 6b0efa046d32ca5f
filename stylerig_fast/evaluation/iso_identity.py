"""The rig beside another method at equal identity distance: error and off-target change.

Methods do not cost the person equally much, and one that changes less errs more. So each is followed over the
strengths of its offset, from no edit on, along straight lines between what was measured, to where it errs least without
costing more of the person than the rig does. Differences are resampled over the people, who are the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stylerig_fast.evaluation.comparison import MethodOutcome
from stylerig_fast.measurement.statistics import BOOTSTRAP, Estimate, interval, plain_number


@dataclass(frozen=True)
class IsoIdentityComparison:
    """The rig and another method in one kind of edit, at the rig's identity distance.

    Attributes:
        method, kind: which.
        identity: dlib distance of the rig's edits, which the other method is held to.
        error, off_target_change: of the rig, as in `comparison.MethodScore`.
        other_error, other_off_target_change: of the other method there.
        more_error, more_off_target_change: the other method's less the rig's.
    """

    method: str
    kind: str
    identity: float
    error: float
    other_error: float
    more_error: Estimate
    off_target_change: float
    other_off_target_change: float
    more_off_target_change: Estimate


def verdict(more: Estimate) -> str:
    """What the rig has of it beside the other: ``less`` or ``more`` where the interval leaves no doubt."""
    if more.low > 0:
        return "less"
    return "more" if more.high < 0 else "not told apart"


def iso_identity_comparisons(
    found: Sequence[MethodOutcome], rig: str = "rig", nothing: str = "no edit", seed: int = 0
) -> list[IsoIdentityComparison]:
    """The rig beside every other method in every kind of edit.

    Args:
        found: outcomes of all methods on the same people.
        rig: the method that is compared with the others, at full strength.
        nothing: the method that does nothing, from which the others' lines begin.
        seed: of the resampling.
    """
    result = []
    for kind in dict.fromkeys(outcome.kind for outcome in found):
        of_kind = [outcome for outcome in found if outcome.kind == kind]
        rig_outcome = next((a for a in of_kind if a.method == rig and a.strength == 1.0), None)
        start = [each for each in of_kind if each.method == nothing]
        if rig_outcome is None:
            continue
        rng = np.random.default_rng(seed)
        people = len(rig_outcome.requested_sum)
        draws = np.concatenate([np.arange(people)[None], rng.integers(0, people, size=(BOOTSTRAP, people))])
        identity, error, off_target = np.moveaxis(_resampled(rig_outcome, draws), -1, 0)
        for method in dict.fromkeys(a.method for a in of_kind if a.method not in (rig, nothing)):
            line = start + sorted((a for a in of_kind if a.method == method), key=lambda a: a.strength)
            beside = _least(np.stack([_resampled(outcome, draws) for outcome in line], axis=1), identity)
            result.append(
                IsoIdentityComparison(
                    method,
                    kind,
                    float(identity[0]),
                    float(error[0]),
                    float(beside[0, 0]),
                    _estimate(beside[:, 0] - error, people),
                    float(off_target[0]),
                    float(beside[0, 1]),
                    _estimate(beside[:, 1] - off_target, people),
                )
            )
    return result


def _resampled(outcome: MethodOutcome, draws: np.ndarray) -> np.ndarray:
    """Identity distance, error and off-target change ``(B, 3)`` of each draw ``(B, P)`` of people."""
    parts = (
        outcome.identity,
        outcome.error_sum,
        outcome.requested_sum,
        outcome.off_target,
        outcome.requested_std,
    )
    identity, error, requested, off_target, requested_std = (part.double().cpu().numpy()[draws] for part in parts)
    known = np.isfinite(identity)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a method that leaves no face
        distance = np.where(known, identity, 0).sum(1) / known.sum(1)
        return np.stack([distance, error.sum(1) / requested.sum(1), off_target.sum(1) / requested_std.sum(1)], axis=1)


def _least(line: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Error and off-target change ``(B, 2)`` where a line errs least within an identity distance.

    Args:
        line: ``(B, S, 3)`` corners: identity distance, error, off-target change.
        most: ``(B,)`` the distance.
    """
    first, second = line[:, :-1], line[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (most[:, None] - first[..., 0]) / (second[..., 0] - first[..., 0])
    crossing = first + np.nan_to_num(share)[..., None] * (second - first)
    allowed = np.concatenate([line[..., 0] <= most[:, None], (share > 0) & (share < 1)], axis=1)
    points = np.concatenate([line, crossing], axis=1)[..., 1:]
    errors = np.where(allowed & np.isfinite(points[..., 0]), points[..., 0], np.inf)
    best = np.take_along_axis(points, errors.argmin(1)[:, None, None], axis=1)[:, 0]
    return np.where(np.isfinite(errors.min(1))[:, None], best, np.nan)


def comparison_json(comparison: IsoIdentityComparison) -> dict[str, object]:
    """Plain values, and in words whether the rig has less or more of both."""
    words = {
        "rig_has_error": verdict(comparison.more_error),
        "rig_has_off_target_change": verdict(comparison.more_off_target_change),
    }
    return {name: _plain(value) for name, value in asdict(comparison).items()} | words


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return plain_number(value) if isinstance(value, float) else value


def _estimate(differences: np.ndarray, people: int) -> Estimate:
    """The first is of the people as they are, the others of draws."""
    draws = differences[1:][np.isfinite(differences[1:])]
    # One person's draws are all alike, and would leave no doubt.
    return Estimate(float(differences[0]), *interval(draws if people > 1 else draws[:0]), people)
