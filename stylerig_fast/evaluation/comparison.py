"""The rig beside its baselines: error, identity distance, drift and surroundings, method by method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.evaluation.control_figures import change
from stylerig_fast.evaluation.edits import Edited, Measured
from stylerig_fast.evaluation.identity import identity_distance
from stylerig_fast.evaluation.judge import SPREAD
from stylerig_fast.evaluation.keeping_figures import KEPT
from stylerig_fast.evaluation.requests import MEASURE
from stylerig_fast.evaluation.statistics import Figure, mean, ratio, slope


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


def rows(found: Mapping[tuple[str, float], Measured]) -> list[Row]:
    """All methods and kinds.

    Args:
        found: by method and strength.
    """
    kinds = [kind for kind in MEASURE if any(m.of(kind) for m in found.values())]  # type: ignore[arg-type]
    return [_row(method, strength, kind, measured) for kind in kinds for (method, strength), measured in found.items()]


def _row(method: str, strength: float, kind: str, measured: Measured) -> Row:
    edits = [edit for edit in measured.edits if edit.request.kind == kind]
    name = MEASURE[kind]
    want, got = change(edits, measured, name, rendered=True), change(edits, measured, name)
    known = torch.isfinite(want) & torch.isfinite(got)
    zero = torch.zeros_like(want)
    size = torch.where(known, want.abs(), zero)
    off = torch.where(known, (got - want).abs(), zero)
    strays = torch.stack([_stray(edits, measured, other) for other in KEPT[kind]]).nanmean(0)
    stray = torch.where(known & torch.isfinite(strays), strays, zero)
    return Row(
        method,
        kind,
        strength,
        slope(want, got),
        ratio(off.sum(1), size.sum(1)),
        mean(torch.stack([identity_distance(e.picture.descriptor, measured.before.descriptor) for e in edits], 1)),
        ratio(stray.sum(1), (size / SPREAD[name]).sum(1)),
        mean(torch.stack([e.outside for e in edits], dim=1)),
        float(torch.stack([e.picture.detected for e in edits]).double().mean()),
    )


def _stray(edits: list[Edited], measured: Measured, other: str) -> Tensor:
    moved = change(edits, measured, other) - change(edits, measured, other, rendered=True)
    return moved.abs() / SPREAD[other]


def row_json(row: Row) -> dict[str, object]:
    """Plain values."""
    figures = {name: getattr(row, name) for name in ("gain", "error", "identity", "drift", "outside")}
    plain = {name: _number(figure.value) for name, figure in figures.items()}
    intervals = {f"{name}_interval": [_number(f.low), _number(f.high)] for name, f in figures.items()}
    head = {"method": row.method, "kind": row.kind, "strength": row.strength, "found": row.found}
    return {**head, **plain, **intervals}


def _number(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
