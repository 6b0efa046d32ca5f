"""What an edit should change, in the picture: gains, errors and monotony of every kind of edit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylerig_fast.measurement.edit_runner import Edited, Measured
from stylerig_fast.measurement.edit_suite import MEASURE
from stylerig_fast.measurement.statistics import Figure, mean, median, ratio, share, slope

# Light requests that the rendered model answers with less than this are left out of the share: the person was lit so.
_LIGHT_STEP = 0.05


def control_figures(measured: Measured) -> dict[str, Figure]:
    """Gains and errors; kinds of edits that were not asked for are absent."""
    figures: dict[str, Figure] = {}
    for kind in ("yaw", "pitch"):
        figures |= _turns(measured, kind)
    return figures | _transfer(measured) | _expression(measured) | _light(measured)


def change(edits: Sequence[Edited], measured: Measured, name: str, rendered: bool = False) -> Tensor:
    """Changes ``(P, K)`` of a measure by K edits, in the pictures or in the rendered requests."""
    before = (measured.rendered if rendered else measured.before).value(name)[:, None]
    after = [(edit.rendered if rendered else edit.picture).value(name) for edit in edits]
    return torch.stack(after, dim=1) - before


def _asked(edits: Sequence[Edited], people: int) -> Tensor:
    return torch.tensor([edit.request.amount for edit in edits], dtype=torch.float64).expand(people, -1)


def _turns(measured: Measured, kind: str) -> dict[str, Figure]:
    edits = [edit for edit in measured.edits if edit.request.kind == kind]
    figures: dict[str, Figure] = {}
    for size in sorted({abs(edit.request.amount) for edit in edits}):
        pair = [edit for edit in edits if abs(edit.request.amount) == size]
        got = change(pair, measured, kind)
        want = _asked(pair, len(got))
        figures[f"{kind}.gain_{size:g}"] = slope(want, got)
        figures[f"{kind}.error_{size:g}"] = mean((got - want).abs())
        for column, edit in enumerate(pair):
            figures[f"{kind}.ratio_{edit.request.amount:+g}"] = mean(got[:, column] / edit.request.amount)
    if edits:
        got = change(edits, measured, kind)
        figures[f"{kind}.gain"] = slope(_asked(edits, len(got)), got)
        figures[f"{kind}.error"] = mean((got - _asked(edits, len(got))).abs())
        second = change(edits, measured, f"mesh_{kind}")
        if bool(torch.isfinite(second).any()):
            figures[f"{kind}.gain_by_mesh"] = slope(_asked(edits, len(second)), second)
    return figures


def _transfer(measured: Measured) -> dict[str, Figure]:
    edits = measured.of("transfer")
    if not edits:
        return {}
    figures = {}
    for column, name in enumerate(("yaw", "pitch")):
        target = measured.source_degrees[:, column]
        figures[f"transfer.{name}_error"] = mean((edits[0].picture.value(name) - target).abs())
        figures[f"transfer.{name}_error_without_edit"] = mean((measured.before.value(name) - target).abs())
    return figures


def _levels(edits: Sequence[Edited], name: str) -> tuple[Tensor, Tensor]:
    """A measure at each level, ``(P, K)``: of the rendered requests, and in the pictures."""
    edits = sorted(edits, key=lambda edit: edit.request.amount)
    model = torch.stack([edit.rendered.value(name) for edit in edits], dim=1)
    return model, torch.stack([edit.picture.value(name) for edit in edits], dim=1)


def _expression(measured: Measured) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for kind in ("jaw", "smile", "eyes", "brows"):
        edits = [edit for edit in measured.edits if edit.request.kind == kind]
        if not edits:
            continue
        model, picture = _levels(edits, MEASURE[kind])
        known = torch.isfinite(picture).all(1)
        # Opening, widening and raising grow with the slider; closing eyes falls.
        grows = 1 if float((model[:, -1] - model[:, 0]).nanmean()) >= 0 else -1
        steps = grows * picture.diff(dim=1) > 0
        name = "smile.smile_width" if kind == "smile" else kind
        joint = "_" if kind == "smile" else "."
        figures[f"{name}{joint}gain"] = slope(model, picture, centred=True)
        figures[f"{name}{joint}monotone_share"] = share(steps.all(1)[known])
        model_by_mesh, by_mesh = _levels(edits, f"mesh_{MEASURE[kind]}")
        if bool(torch.isfinite(by_mesh).any()):
            figures[f"{name}{joint}gain_by_mesh"] = slope(model_by_mesh, by_mesh, centred=True)
        figures[f"{kind}.rising_steps_share"] = mean(steps.double()[known])
        figures[f"{kind}.change_asked"] = mean(model[:, -1] - model[:, 0])
        figures[f"{kind}.change_seen"] = mean(picture[:, -1] - picture[:, 0])
        if kind == "smile":
            model, picture = _levels(edits, "corner_height")
            known = torch.isfinite(picture).all(1)
            figures["smile.corner_height_gain"] = slope(model, picture, centred=True)
            figures["smile.corner_height_monotone_share"] = share((picture.diff(dim=1) > 0).all(1)[known])
    return figures


def _light(measured: Measured) -> dict[str, Figure]:
    edits = measured.of("light")
    if not edits:
        return {}
    figures = {}
    for name, label in (("light", ""), ("fitted_light", "_fitted")):
        want = change(edits, measured, name, rendered=True)
        got = change(edits, measured, name)
        zero = torch.zeros(len(want), 1, dtype=want.dtype)
        # Before, left and right, about each person's mean: how light that follows the request would lie on a line.
        figures[f"light.gain{label}"] = slope(torch.cat([zero, want], 1), torch.cat([zero, got], 1), centred=True)
    want, got = change(edits, measured, "light", rendered=True), change(edits, measured, "light")
    side = _asked(edits, len(want)).sign()
    counted = (want * side > _LIGHT_STEP) & torch.isfinite(got)
    right = (got * side > 0) & counted
    figures["light.asked_side_share"] = ratio(right.sum(1), counted.sum(1))
    ordered = sorted(range(len(edits)), key=lambda i: edits[i].request.amount)
    figures["light.left_right_order_share"] = share(
        (got[:, ordered[-1]] > got[:, ordered[0]])[torch.isfinite(got).all(1)]
    )
    brightness = torch.stack([edit.picture.luminance / measured.before.luminance for edit in edits], dim=1)
    figures["light.brightness_ratio"] = mean(brightness)
    return figures | _light_direction(edits, measured)


def _light_direction(edits: Sequence[Edited], measured: Measured) -> dict[str, Figure]:
    """Angle and tint between the light that is seen and the one that was asked for.

    What is asked is read off the rendered request by the same fit. The fit takes features for light to some degree, so
    each person's own difference between picture and rendering, before the edit, is taken off both.
    """
    axes = ("light_x", "light_y", "light_z")
    angles, tints = [], []
    for edit in edits:
        seen, want, own, model = (
            torch.stack([look.value(axis) for axis in axes], dim=1)
            for look in (edit.picture, edit.rendered, measured.before, measured.rendered)
        )
        cosine = torch.cosine_similarity(seen - own + model, want, dim=1)
        angles.append(torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))))
        moved = [
            change([edit], measured, name)[:, 0] - change([edit], measured, name, rendered=True)[:, 0]
            for name in ("tint_red", "tint_blue")
        ]
        tints.append(torch.stack(moved).square().sum(0).sqrt())
    return {
        "light.angle_median": median(torch.stack(angles, dim=1)),
        "light.tint_error": mean(torch.stack(tints, dim=1)),
    }
