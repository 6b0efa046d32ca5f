"""Where the rig stands beside another method at the same price: error and drift at equal identity distance.

Methods do not cost the person equally much, and one that asks for less errs more. So each is followed over the
strengths of its offset, from no edit on, along straight lines between what was measured, to where it errs least without
costing more of the person than the rig does. Differences are resampled over the people, who are the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stylerig_fast.evaluation.comparison import Answers
from stylerig_fast.measurement.statistics import BOOTSTRAP, Figure, interval, plain_number


@dataclass(frozen=True)
class Standing:
    """The rig and one other method in one kind of edit.

    Attributes:
        method, kind: which.
        identity: dlib distance of the rig's edits, which the other method's are held to.
        error, drift: of the rig, as in `comparison.Row`.
        other_error, other_drift: of the other method there.
        more_error, more_drift: the other method's less the rig's.
    """

    method: str
    kind: str
    identity: float
    error: float
    other_error: float
    more_error: Figure
    drift: float
    other_drift: float
    more_drift: Figure


def verdict(more: Figure) -> str:
    """What the rig has of it beside the other: ``less`` or ``more`` where the interval leaves no doubt."""
    if more.low > 0:
        return "less"
    return "more" if more.high < 0 else "not told apart"


def standings(found: Sequence[Answers], rig: str = "rig", nothing: str = "no edit", seed: int = 0) -> list[Standing]:
    """The rig beside every other method in every kind of edit.

    Args:
        found: answers of the same people by all methods.
        rig: the method that is set beside the others, at full strength.
        nothing: the method that does nothing, from which the others' lines begin.
        seed: of the resampling.
    """
    result = []
    for kind in dict.fromkeys(answer.kind for answer in found):
        of_kind = [answer for answer in found if answer.kind == kind]
        own = next((a for a in of_kind if a.method == rig and a.strength == 1.0), None)
        start = [answer for answer in of_kind if answer.method == nothing]
        if own is None:
            continue
        rng = np.random.default_rng(seed)
        people = len(own.size)
        draws = np.concatenate([np.arange(people)[None], rng.integers(0, people, size=(BOOTSTRAP, people))])
        identity, error, drift = np.moveaxis(_resampled(own, draws), -1, 0)
        for method in dict.fromkeys(a.method for a in of_kind if a.method not in (rig, nothing)):
            line = start + sorted((a for a in of_kind if a.method == method), key=lambda a: a.strength)
            beside = _least(np.stack([_resampled(answer, draws) for answer in line], axis=1), identity)
            result.append(
                Standing(
                    method,
                    kind,
                    float(identity[0]),
                    float(error[0]),
                    float(beside[0, 0]),
                    _figure(beside[:, 0] - error, people),
                    float(drift[0]),
                    float(beside[0, 1]),
                    _figure(beside[:, 1] - drift, people),
                )
            )
    return result


def _resampled(answer: Answers, draws: np.ndarray) -> np.ndarray:
    """Identity distance, error and drift ``(B, 3)`` of each draw ``(B, P)`` of people."""
    parts = (answer.identity, answer.off, answer.size, answer.stray, answer.deviations)
    identity, off, size, stray, deviations = (part.double().cpu().numpy()[draws] for part in parts)
    known = np.isfinite(identity)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a method that leaves no face
        distance = np.where(known, identity, 0).sum(1) / known.sum(1)
        return np.stack([distance, off.sum(1) / size.sum(1), stray.sum(1) / deviations.sum(1)], axis=1)


def _least(line: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Error and drift ``(B, 2)`` where a line errs least within an identity distance.

    Args:
        line: ``(B, S, 3)`` corners: identity distance, error, drift. most: ``(B,)`` the distance.
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


def standing_json(standing: Standing) -> dict[str, object]:
    """Plain values, with what the rig has of error and drift in words."""
    words = {"rig_has_error": verdict(standing.more_error), "rig_has_drift": verdict(standing.more_drift)}
    return {name: _plain(value) for name, value in asdict(standing).items()} | words


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return plain_number(value) if isinstance(value, float) else value


def _figure(differences: np.ndarray, people: int) -> Figure:
    """The first is of the people as they are, the others of draws."""
    draws = differences[1:][np.isfinite(differences[1:])]
    # One person's draws are all alike, and would leave no doubt.
    return Figure(float(differences[0]), *interval(draws if people > 1 else draws[:0]), people)
