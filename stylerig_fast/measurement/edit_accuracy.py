"""Whether edits do what was requested, in the picture: gains, errors and monotony of every kind of edit.

A *gain* is the change in the picture over the change that was requested. Of a pose the request is in degrees; of an
expression or a light it is the change of the same measure on the rendered face model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylerig_fast.measurement.edit_kinds import EDIT_KINDS, TRANSFER, EditKind
from stylerig_fast.measurement.edit_runner import EditResult, MeasuredEdits
from stylerig_fast.measurement.statistics import Estimate, mean, median, ratio, share, slope

# Light edits that change the rendered model by less than this are left out of the share: the person was lit so.
_LIGHT_STEP = 0.05


def edit_accuracy(measured: MeasuredEdits) -> dict[str, Estimate]:
    """Gains and errors by name, ``<kind>.gain`` and so on; kinds that were not measured are absent."""
    found = _transfer(measured.of(TRANSFER), measured)
    for kind in EDIT_KINDS.values():
        results = measured.of(kind)
        if not results:
            continue
        if kind.control == "pose":
            found |= _turns(kind, results, measured)
        elif kind.control == "expression":
            found |= _expression(kind, results)
        else:
            found |= _light(kind, results, measured)
    return found


def change(results: Sequence[EditResult], measured: MeasuredEdits, name: str, rendered: bool = False) -> Tensor:
    """Changes ``(P, K)`` of a measure by K edits, in the pictures or on the rendered face model."""
    before = (measured.rendered if rendered else measured.before).value(name)[:, None]
    after = [(result.rendered if rendered else result.picture).value(name) for result in results]
    return torch.stack(after, dim=1) - before


def _amounts(results: Sequence[EditResult], people: int) -> Tensor:
    return torch.tensor([result.edit.amount for result in results], dtype=torch.float64).expand(people, -1)


def _turns(kind: EditKind, results: Sequence[EditResult], measured: MeasuredEdits) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for size in sorted({abs(result.edit.amount) for result in results}):
        pair = [result for result in results if abs(result.edit.amount) == size]
        got = change(pair, measured, kind.measure)
        want = _amounts(pair, len(got))
        found[f"{kind.name}.gain_{size:g}"] = slope(want, got)
        found[f"{kind.name}.error_{size:g}"] = mean((got - want).abs())
        for column, result in enumerate(pair):
            found[f"{kind.name}.ratio_{result.edit.amount:+g}"] = mean(got[:, column] / result.edit.amount)
    got = change(results, measured, kind.measure)
    want = _amounts(results, len(got))
    found[f"{kind.name}.gain"] = slope(want, got)
    found[f"{kind.name}.error"] = mean((got - want).abs())
    before = measured.before.value_by_mesh(kind.measure)[:, None]
    by_mesh = torch.stack([result.picture.value_by_mesh(kind.measure) for result in results], dim=1) - before
    if bool(torch.isfinite(by_mesh).any()):
        found[f"{kind.name}.gain_by_mesh"] = slope(want, by_mesh)
    return found


def _transfer(results: Sequence[EditResult], measured: MeasuredEdits) -> dict[str, Estimate]:
    found = {}
    for result in results:
        for column, name in enumerate(("yaw", "pitch")):
            target = measured.donor_degrees[:, column]
            found[f"transfer.{name}_error"] = mean((result.picture.value(name) - target).abs())
            found[f"transfer.{name}_error_without_edit"] = mean((measured.before.value(name) - target).abs())
    return found


def _expression(kind: EditKind, results: Sequence[EditResult]) -> dict[str, Estimate]:
    results = sorted(results, key=lambda result: result.edit.amount)

    def levels(name: str) -> tuple[Tensor, Tensor]:
        """A measure at each level ``(P, K)``: on the rendered face model, and in the pictures."""
        model = torch.stack([result.rendered.value(name) for result in results], dim=1)
        return model, torch.stack([result.picture.value(name) for result in results], dim=1)

    found: dict[str, Estimate] = {}
    for name in (kind.measure, *kind.also_measured):
        prefix = f"{kind.name}." if name == kind.measure else f"{kind.name}.{name}_"
        model, picture = levels(name)
        known = torch.isfinite(picture).all(1)
        # Opening, widening and raising grow with the slider; closing eyes falls.
        grows = 1 if float((model[:, -1] - model[:, 0]).nanmean()) >= 0 else -1
        steps = grows * picture.diff(dim=1) > 0
        found[f"{prefix}gain"] = slope(model, picture, centred=True)
        found[f"{prefix}monotone_share"] = share(steps.all(1)[known])
        if name != kind.measure:
            continue
        model_by_mesh, by_mesh = (
            torch.stack([measurements.value_by_mesh(name) for measurements in each], dim=1)
            for each in ([result.rendered for result in results], [result.picture for result in results])
        )
        if bool(torch.isfinite(by_mesh).any()):
            found[f"{prefix}gain_by_mesh"] = slope(model_by_mesh, by_mesh, centred=True)
        found[f"{prefix}rising_steps_share"] = mean(steps.double()[known])
        found[f"{prefix}change_requested"] = mean(model[:, -1] - model[:, 0])
        found[f"{prefix}change_measured"] = mean(picture[:, -1] - picture[:, 0])
    return found


def _light(kind: EditKind, results: Sequence[EditResult], measured: MeasuredEdits) -> dict[str, Estimate]:
    want, got = change(results, measured, kind.measure, rendered=True), change(results, measured, kind.measure)
    found = {f"{kind.name}.gain": _line(want, got)}
    side = _amounts(results, len(want)).sign()
    counted = (want * side > _LIGHT_STEP) & torch.isfinite(got)
    right = (got * side > 0) & counted
    found[f"{kind.name}.requested_side_share"] = ratio(right.sum(1), counted.sum(1))
    ordered = sorted(range(len(results)), key=lambda i: results[i].edit.amount)
    rises = (got[:, ordered[-1]] > got[:, ordered[0]])[torch.isfinite(got).all(1)]
    found[f"{kind.name}.left_right_order_share"] = share(rises)
    brightness = torch.stack([result.picture.luminance / measured.before.luminance for result in results], dim=1)
    found[f"{kind.name}.brightness_ratio"] = mean(brightness)
    return found | _fitted_light(kind, results, measured)


def _line(want: Tensor, got: Tensor) -> Estimate:
    """Gain from changes ``(P, K)``: before, left and right lie on a line about each person's mean if light follows."""
    zero = torch.zeros(len(want), 1, dtype=want.dtype)
    return slope(torch.cat([zero, want], 1), torch.cat([zero, got], 1), centred=True)


def _fitted_light(kind: EditKind, results: Sequence[EditResult], measured: MeasuredEdits) -> dict[str, Estimate]:
    """Sideways gain, angle and tint between the light in the picture and the requested one; none without the fit.

    The requested light is read off the rendered target by the same fit. The fit takes features for light to some
    degree, so each person's own difference between picture and rendering, before the edit, is taken off both.
    """
    before, model = measured.before.fitted_light, measured.rendered.fitted_light
    if before is None or model is None:
        return {}
    wants, gots, angles, tints = [], [], [], []
    for result in results:
        after, target = result.picture.fitted_light, result.rendered.fitted_light
        assert after is not None and target is not None
        wants.append(target.direction[:, 0] - model.direction[:, 0])
        gots.append(after.direction[:, 0] - before.direction[:, 0])
        corrected = after.direction - before.direction + model.direction
        cosine = torch.cosine_similarity(corrected, target.direction, dim=1)
        angles.append(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))))
        tints.append((after.tint - before.tint - target.tint + model.tint).square().sum(1).sqrt())
    return {
        f"{kind.name}.gain_fitted": _line(torch.stack(wants, dim=1), torch.stack(gots, dim=1)),
        f"{kind.name}.angle_median": median(torch.stack(angles, dim=1)),
        f"{kind.name}.tint_error": mean(torch.stack(tints, dim=1)),
    }
