"""What an edit should keep: the person, the other controls, and everything around the face."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stylerig_fast.evaluation.heldout_estimators.identity import identity_distance
from stylerig_fast.measurement.analyzer import SPREAD
from stylerig_fast.measurement.edit_accuracy import change
from stylerig_fast.measurement.edit_runner import Edited, Measured
from stylerig_fast.measurement.edit_suite import KEPT, MEASURE
from stylerig_fast.measurement.glasses import worn
from stylerig_fast.measurement.statistics import Figure, mean, ratio, share

# jawOpen of about the widest mouth that the portraits of MobileStyleGAN-FFHQ show.
_JAW_SHOWN = 0.5
# Distance of two people by dlib, over the square root of two: the deviation of one person from the mean, squared sums.
_IDENTITY_SPREAD = 0.73 / math.sqrt(2)
GROUPS = {
    "pose": ("yaw", "pitch"),
    "expression": ("mouth_opening", "smile_width", "eye_opening", "brow_height"),
    "illumination": ("light",),
}
GROUP_OF = {"yaw": "pose", "pitch": "pose", "light": "illumination"}


def keeping_figures(measured: Measured) -> dict[str, Figure]:
    """Identity, drift, surroundings, glasses, disentanglement and faces found."""
    seen = torch.stack([measured.before.detected, *(edit.picture.detected for edit in measured.edits)], dim=1)
    return {
        **_identity(measured),
        **_drifts(measured),
        **_outside(measured),
        **_glasses(measured),
        **_disentanglement(measured),
        "detected.share": share(seen),
    }


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
        "eyes": [edit for edit in measured.of("eyes") if edit.request.amount > 0],
        "brows": [edit for edit in measured.of("brows") if edit.request.amount > 0],
        "light": measured.of("light"),
    }
    # A wider opening than portraits ever show costs the person whoever edits; identity.jaw says how much.
    groups["expression"] = [edit for edit in groups["jaw"] if edit.request.amount <= _JAW_SHOWN] + groups["smile"]
    groups["expression"] += groups["eyes"] + groups["brows"]
    figures |= {f"identity.{name}": mean(_distances(group, measured)) for name, group in groups.items() if group}
    for use in measured.before.features:
        if use == "identity":
            figures |= {
                f"identity_cosine.{name}": mean(_cosines(group, measured)) for name, group in groups.items() if group
            }
    between = torch.cdist(measured.before.descriptor, measured.before.descriptor)
    between.fill_diagonal_(math.nan)
    if len(between) > 1:
        figures["identity.different_people"] = mean(between)
    return figures


def _cosines(edits: Sequence[Edited], measured: Measured) -> Tensor:
    """Cosine similarity ``(P, K)`` to the unedited person by the identity network that the user brought."""
    before = measured.before.features["identity"]
    return torch.stack([torch.cosine_similarity(e.picture.features["identity"], before) for e in edits], dim=1)


def _drifts(measured: Measured) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    means: dict[str, Figure] = {}
    alone: dict[str, list[Tensor]] = {}
    edited: dict[str, Tensor] = {}
    kept = [(kind, other) for kind, others in KEPT.items() for other in others]
    for kind, other in kept:
        edits = [edit for edit in measured.edits if edit.request.kind == kind]
        if not edits:
            continue
        stray = change(edits, measured, other) - change(edits, measured, other, rendered=True)
        own = MEASURE[kind]
        size = change(edits, measured, own, rendered=True).abs() / SPREAD[own]
        known = torch.isfinite(stray) & torch.isfinite(size)
        size = torch.where(known, size, torch.zeros_like(size))
        # Each edit's own size is its measure: level 0 of a closed mouth asks for nothing, and weighs nothing.
        moved = torch.where(known, stray.abs() / SPREAD[other], torch.zeros_like(size))
        weight = (size > 0.25 * size.amax()).double()
        figures[f"drift.{kind}_to_{other}"] = ratio((moved * weight).sum(1), (size * weight).sum(1))
        signed = torch.where(known, stray, torch.zeros_like(stray)) * weight
        means[f"drift_mean.{kind}_to_{other}"] = ratio(signed.sum(1), (known * weight).sum(1))
        alone.setdefault(kind, []).append((moved * weight).sum(1))
        edited[kind] = (size * weight).sum(1)
    for kind, parts in alone.items():
        figures[f"drift.{kind}"] = ratio(torch.stack(parts).mean(0), edited[kind])
    return figures | means


def _outside(measured: Measured) -> dict[str, Figure]:
    """Mean colour change of hair, clothes and background, 0 to 1, by kind of edit."""
    figures = {}
    for kind in (*MEASURE, "transfer"):
        edits = [e for e in measured.edits if e.request.kind == kind and len(e.outside)]
        if edits:
            figures[f"outside.{kind}"] = mean(torch.stack([e.outside for e in edits], dim=1))
    return figures


def _glasses(measured: Measured) -> dict[str, Figure]:
    """Share of the edits of each kind that put glasses on or take them off; pictures that show neither are left out."""
    before = worn(measured.before.value("glasses"))
    figures = {"glasses.worn": mean(before)}
    for kind in MEASURE:
        edits = [edit for edit in measured.edits if edit.request.kind == kind]
        if edits:
            after = torch.stack([worn(edit.picture.value("glasses")) for edit in edits], dim=1)
            figures[f"glasses.changed_by_{kind}"] = mean((after - before[:, None]).abs())
    return figures


def _disentanglement(measured: Measured) -> dict[str, Figure]:
    """DiscoFaceGAN's score (Deng et al. 2020, section 4.2) over the edits of each factor.

    One factor varies and the rest should stay: the deviation of its estimates over that of every other factor's, each
    in deviations over people, multiplied. Factors are pose, expression, illumination and identity.
    """
    figures = {}
    for factor in GROUPS:
        edits = [e for e in measured.edits if GROUP_OF.get(e.request.kind, "expression") == factor]
        edits = [e for e in edits if e.request.kind != "transfer"]
        if not edits:
            continue
        deviations = {}
        for name, measures in GROUPS.items():
            columns = [
                torch.stack([measured.before.value(m), *(e.picture.value(m) for e in edits)], dim=1) / SPREAD[m]
                for m in measures
            ]
            deviations[name] = torch.stack([_variance(column[..., None]) for column in columns]).mean(0).sqrt()
        looks = torch.stack([measured.before.descriptor, *(e.picture.descriptor for e in edits)], dim=1)
        deviations["identity"] = _variance(looks.double()).sqrt() / _IDENTITY_SPREAD
        own = torch.nanmean(deviations.pop(factor))
        score = torch.stack([own / torch.nanmean(other) for other in deviations.values()]).prod()
        people = len(measured.before.detected)
        figures[f"disentanglement.{factor}"] = Figure(float(score), math.nan, math.nan, people)
    return figures


def _variance(values: Tensor) -> Tensor:
    """Variance ``(P,)`` over K pictures of ``(P, K, D)``, summed over D; NaN pictures are left out."""
    return (values - torch.nanmean(values, dim=1, keepdim=True)).square().nanmean(dim=1).sum(-1)
