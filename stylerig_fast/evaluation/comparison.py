"""The rig beside its baselines: error, identity distance, drift and surroundings, method by method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.evaluation.heldout_estimators.identity import identity_distance
from stylerig_fast.measurement.analyzer import SPREAD
from stylerig_fast.measurement.edit_accuracy import change
from stylerig_fast.measurement.edit_runner import Edited, Measured
from stylerig_fast.measurement.edit_suite import KEPT, MEASURE
from stylerig_fast.measurement.statistics import Figure, mean, plain_number, ratio, slope


@dataclass(frozen=True)
class Answers:
    """How one method answered one kind of edit, person by person.

    Attributes:
        method, kind: which.
        strength: what the method's offset was multiplied by.
        want, got: ``(P, K)`` changes asked for and seen in the picture, in the units of the measure.
        size, off: ``(P,)`` sums over the K edits of the change asked for, and of its distance to the change seen; 0
            where no face was found.
        stray: ``(P,)`` likewise, what the kept measures moved, on average, in deviations over portraits.
        identity: ``(P,)`` mean dlib distance to the unedited person; NaN where no face was found.
        outside: ``(P,)`` mean change of hair, clothes and background; likewise.
        found: share of pictures with a face.
    """

    method: str
    kind: str
    strength: float
    want: Tensor
    got: Tensor
    size: Tensor
    off: Tensor
    stray: Tensor
    identity: Tensor
    outside: Tensor
    found: float

    @property
    def deviations(self) -> Tensor:
        """``size`` in deviations over portraits."""
        return self.size / SPREAD[MEASURE[self.kind]]


@dataclass(frozen=True)
class Row:
    """One method on one kind of edit.

    Attributes:
        method, kind: which.
        strength: what the method's offset was multiplied by.
        gain: change in the picture over the change asked for.
        error: mean distance of the two, as a share of the mean change asked for: 1 is no edit at all.
        identity: dlib distance to the unedited person.
        drift: mean of what the kept measures moved, over the change asked for, both in deviations over portraits. (The
            drift of `keeping_figures` is over it too, so that a method that does nothing drifts by nothing.)
        outside: change of hair, clothes and background.
        found: share of pictures with a face.
    """

    method: str
    kind: str
    strength: float
    gain: Figure
    error: Figure
    identity: Figure
    drift: Figure
    outside: Figure
    found: float


def answers(found: Mapping[tuple[str, float], Measured]) -> list[Answers]:
    """Of all methods to all kinds of edits.

    Args:
        found: by method and strength, of the same people.
    """
    return list(_answers(found))


def _answers(found: Mapping[tuple[str, float], Measured]) -> Iterator[Answers]:
    for kind, name in MEASURE.items():
        for (method, strength), measured in found.items():
            edits = [edit for edit in measured.edits if edit.request.kind == kind]
            if not edits:
                continue
            want, got = change(edits, measured, name, rendered=True), change(edits, measured, name)
            known = torch.isfinite(want) & torch.isfinite(got)
            zero = torch.zeros_like(want)
            strays = torch.stack([_stray(edits, measured, other) for other in KEPT[kind]]).nanmean(0)
            looks = [identity_distance(e.picture.descriptor, measured.before.descriptor) for e in edits]
            yield Answers(
                method,
                kind,
                strength,
                want,
                got,
                torch.where(known, want.abs(), zero).sum(1),
                torch.where(known, (got - want).abs(), zero).sum(1),
                torch.where(known & torch.isfinite(strays), strays, zero).sum(1),
                torch.stack(looks, dim=1).double().nanmean(1),
                torch.stack([e.outside for e in edits], dim=1).double().nanmean(1),
                float(torch.stack([e.picture.detected for e in edits]).double().mean()),
            )


def _stray(edits: list[Edited], measured: Measured, other: str) -> Tensor:
    moved = change(edits, measured, other) - change(edits, measured, other, rendered=True)
    return moved.abs() / SPREAD[other]


def row(answer: Answers) -> Row:
    """The figures of one method on one kind of edit."""
    return Row(
        answer.method,
        answer.kind,
        answer.strength,
        slope(answer.want, answer.got),
        ratio(answer.off, answer.size),
        mean(answer.identity),
        ratio(answer.stray, answer.deviations),
        mean(answer.outside),
        answer.found,
    )


def outside_figures(found: list[Answers], method: str, other: str) -> dict[str, Figure]:
    """What ``method`` changes around the face over what ``other`` does, by kind of edit, on the same people."""
    whole = {(answer.method, answer.kind): answer.outside for answer in found if answer.strength == 1.0}
    return {
        f"outside.{kind}_over_{other.replace(' ', '_')}": ratio(whole[method, kind], whole[other, kind])
        for kind in MEASURE
        if (method, kind) in whole and (other, kind) in whole
    }


def row_json(row: Row) -> dict[str, object]:
    """Plain values."""
    figures = {name: getattr(row, name) for name in ("gain", "error", "identity", "drift", "outside")}
    plain = {name: plain_number(figure.value) for name, figure in figures.items()}
    intervals = {f"{name}_interval": [plain_number(f.low), plain_number(f.high)] for name, f in figures.items()}
    head = {"method": row.method, "kind": row.kind, "strength": row.strength, "found": row.found}
    return {**head, **plain, **intervals}
