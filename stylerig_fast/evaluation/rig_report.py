"""The figures of a rig, from what was seen in its pictures: never what F says about its own edits.

A *gain* is the change in the picture over the change in the request. Of a pose the request is in degrees; of an
expression or a light it is the change of the same measure on the rendered face model, before and after.
A *drift* is a change that was not asked for: the picture's change of a measure less the rendered model's (turning a
head in the same light does change which cheek is brighter), in standard deviations of that measure over portraits,
over the size of the edit in standard deviations of what it edits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.edits import (
    Edited,
    Measured,
    RigLike,
    choose_people,
    measure_edits,
    standard_requests,
)
from stylerig_fast.evaluation.identity import identity_distance
from stylerig_fast.evaluation.judge import SPREAD, Judge
from stylerig_fast.evaluation.report import Goal, Report
from stylerig_fast.evaluation.statistics import Figure, mean, ratio, share, slope

GOALS = {
    "yaw.gain_10": Goal(0.9, 1.1),
    "yaw.gain_20": Goal(0.9, 1.1),
    "yaw.error_10": Goal(high=3.0),
    "yaw.error_20": Goal(high=3.0),
    "transfer.yaw_error": Goal(high=4.0),
    "transfer.pitch_error": Goal(high=4.0),
    "jaw.gain": Goal(low=0.7),
    "light.gain": Goal(low=0.7),
    "light.asked_side_share": Goal(low=0.95),
    "identity.yaw_15": Goal(high=0.35),
    "identity.expression": Goal(high=0.25),
    "identity.light": Goal(high=0.25),
    **{
        f"drift.{kind}_to_{other}": Goal(high=0.2)
        for kind, others in {
            "yaw": ("pitch", "mouth_opening", "smile_width", "light"),
            "pitch": ("yaw", "mouth_opening", "smile_width", "light"),
            "jaw": ("yaw", "pitch", "light"),
            "smile": ("yaw", "pitch", "light"),
            "light": ("yaw", "pitch", "mouth_opening", "smile_width"),
        }.items()
        for other in others
    },
}
# jawOpen of about the widest mouth that the portraits of MobileStyleGAN-FFHQ show.
_JAW_SHOWN = 0.5
# What each kind of edit changes, as measured; pose edits are measured in degrees asked for.
_EDITED = {"yaw": "yaw", "pitch": "pitch", "jaw": "mouth_opening", "smile": "smile_width", "light": "light"}
# Light requests that the rendered model answers with less than this are left out of the share: the person was lit so.
_LIGHT_STEP = 0.05


def rig_figures(measured: Measured) -> dict[str, Figure]:
    """All figures of what was measured; kinds of edits that were not asked for are absent."""
    figures: dict[str, Figure] = {}
    for kind in ("yaw", "pitch"):
        figures |= _turns(measured, kind)
    figures |= _transfer(measured)
    figures |= _expression(measured)
    figures |= _light(measured)
    figures |= _identity(measured)
    figures |= _drifts(measured)
    seen = torch.stack([measured.before.detected, *(edit.picture.detected for edit in measured.edits)], dim=1)
    figures["detected.share"] = share(seen)
    return figures


def measure_rig(
    engine: RigLike,
    portraits: PortraitSet,
    people: int = 40,
    quick: bool = False,
    seed: int = 0,
    judge: Judge | None = None,
    resolution: int = 512,
    thumbnails: int = 0,
    progress: Callable[[int], None] | None = None,
) -> tuple[Report, Measured]:
    """Measures a rig on held-out people whose yaw is within 10 degrees.

    Args:
        engine: the rig.
        portraits: held-out ones.
        people: how many are edited; each costs about 20 pictures (10 when quick).
        quick: fewer steps per edit.
        seed: of the choice of people.
        judge: looks at the pictures; by default built on the engine's face model and camera.
        resolution: of the pictures.
        thumbnails: how many people's pictures to keep for looking at.
        progress: called with the number of pictures judged so far.

    Returns:
        The report, and all that was seen.
    """
    judge = judge or Judge(engine.face_model, engine.camera)
    rows, from_rows = choose_people(portraits, judge.estimator, people, seed=seed)
    source_degrees = judge.estimator.fit(portraits.landmarks[from_rows]).degrees
    measured = measure_edits(
        engine,
        judge,
        portraits.ws(rows),
        standard_requests(engine.face_model.expression_names, quick),
        (portraits.ws(from_rows), source_degrees),
        resolution=resolution,
        thumbnails=thumbnails,
        progress=progress,
    )
    settings = {"people": people, "quick": quick, "seed": seed, "resolution": resolution}
    return Report("Rig on held-out people, judged on the picture", rig_figures(measured), GOALS, settings), measured


def _change(edits: Sequence[Edited], measured: Measured, name: str, rendered: bool = False) -> Tensor:
    """Changes ``(P, K)`` of a measure by K edits, in the pictures or in the rendered requests."""
    before = (measured.rendered if rendered else measured.before).value(name)[:, None]
    after = [(edit.rendered if rendered else edit.picture).value(name) for edit in edits]
    return torch.stack(after, dim=1) - before


def _asked(edits: Sequence[Edited], people: int) -> Tensor:
    return torch.tensor([edit.request.amount for edit in edits], dtype=torch.float64).expand(people, -1)


def _turns(measured: Measured, kind: str) -> dict[str, Figure]:
    edits = measured.of("yaw" if kind == "yaw" else "pitch")
    figures: dict[str, Figure] = {}
    for size in sorted({abs(edit.request.amount) for edit in edits}):
        pair = [edit for edit in edits if abs(edit.request.amount) == size]
        got = _change(pair, measured, kind)
        want = _asked(pair, len(got))
        figures[f"{kind}.gain_{size:g}"] = slope(want, got)
        figures[f"{kind}.error_{size:g}"] = mean((got - want).abs())
        for column, edit in enumerate(pair):
            figures[f"{kind}.ratio_{edit.request.amount:+g}"] = mean(got[:, column] / edit.request.amount)
    if edits:
        got = _change(edits, measured, kind)
        figures[f"{kind}.gain"] = slope(_asked(edits, len(got)), got)
        second = _change(edits, measured, f"mesh_{kind}")
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
    figures = {}
    jaw = measured.of("jaw")
    if jaw:
        model, picture = _levels(jaw, "mouth_opening")
        figures["jaw.gain"] = slope(model, picture, centred=True)
        known = torch.isfinite(picture).all(1)
        figures["jaw.monotone_share"] = share((picture.diff(dim=1) > 0).all(1)[known])
        figures["jaw.rising_steps_share"] = mean((picture.diff(dim=1) > 0).double()[known])
        figures["jaw.opening_asked"] = mean(model[:, -1] - model[:, 0])
        figures["jaw.opening_change"] = mean(picture[:, -1] - picture[:, 0])
    smile = measured.of("smile")
    if smile:
        for name in ("smile_width", "corner_height"):
            model, picture = _levels(smile, name)
            figures[f"smile.{name}_gain"] = slope(model, picture, centred=True)
            figures[f"smile.{name}_grows_share"] = share(
                (picture[:, -1] > picture[:, 0])[torch.isfinite(picture).all(1)]
            )
    return figures


def _light(measured: Measured) -> dict[str, Figure]:
    edits = measured.of("light")
    if not edits:
        return {}
    figures = {}
    for name, label in (("light", ""), ("fitted_light", "_fitted")):
        want = _change(edits, measured, name, rendered=True)
        got = _change(edits, measured, name)
        zero = torch.zeros(len(want), 1, dtype=want.dtype)
        # Before, left and right, about each person's mean: how light that follows the request would lie on a line.
        figures[f"light.gain{label}"] = slope(torch.cat([zero, want], 1), torch.cat([zero, got], 1), centred=True)
    want, got = _change(edits, measured, "light", rendered=True), _change(edits, measured, "light")
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
    return figures


def _distances(edits: Sequence[Edited], measured: Measured) -> Tensor:
    return torch.stack([identity_distance(e.picture.descriptor, measured.before.descriptor) for e in edits], dim=1)


def _identity(measured: Measured) -> dict[str, Figure]:
    figures = {}
    yaws = measured.of("yaw")
    for size in sorted({abs(edit.request.amount) for edit in yaws}):
        group = [edit for edit in yaws if abs(edit.request.amount) == size]
        figures[f"identity.yaw_{size:g}"] = mean(_distances(group, measured))
    groups = {
        "pitch": measured.of("pitch"),
        "transfer": measured.of("transfer"),
        "jaw": [edit for edit in measured.of("jaw") if edit.request.amount > 0],
        "smile": [edit for edit in measured.of("smile") if edit.request.amount > 0],
        "light": measured.of("light"),
    }
    # A wider opening than portraits ever show costs the person whoever edits; identity.jaw says how much.
    groups["expression"] = [edit for edit in groups["jaw"] if edit.request.amount <= _JAW_SHOWN] + groups["smile"]
    figures |= {f"identity.{name}": mean(_distances(group, measured)) for name, group in groups.items() if group}
    between = torch.cdist(measured.before.descriptor, measured.before.descriptor)
    between.fill_diagonal_(math.nan)
    if len(between) > 1:
        figures["identity.different_people"] = mean(between)
    return figures


def _drifts(measured: Measured) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    means: dict[str, Figure] = {}
    kept = [name.removeprefix("drift.").split("_to_") for name in GOALS if name.startswith("drift.")]
    for kind, other in kept:
        edits = [edit for edit in measured.edits if edit.request.kind == kind]
        if not edits:
            continue
        stray = _change(edits, measured, other) - _change(edits, measured, other, rendered=True)
        own = _EDITED[kind]
        size = _change(edits, measured, own, rendered=True).abs() / SPREAD[own]
        known = torch.isfinite(stray) & torch.isfinite(size)
        size = torch.where(known, size, torch.zeros_like(size))
        # Each edit's own size is its measure: level 0 of a closed mouth asks for nothing, and weighs nothing.
        moved = torch.where(known, stray.abs() / SPREAD[other], torch.zeros_like(size))
        weight = (size > 0.25 * size.amax()).double()
        figures[f"drift.{kind}_to_{other}"] = ratio((moved * weight).sum(1), (size * weight).sum(1))
        signed = torch.where(known, stray, torch.zeros_like(stray)) * weight
        means[f"drift_mean.{kind}_to_{other}"] = ratio(signed.sum(1), (known * weight).sum(1))
    return figures | means
