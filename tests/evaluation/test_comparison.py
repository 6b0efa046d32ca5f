"""Figures beside the gains: surroundings, witnesses, disentanglement, and the rows of the comparison."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stylerig_fast.evaluation.comparison import answers, outside_figures, row, row_json
from stylerig_fast.evaluation.metrics.preservation import keeping_figures
from stylerig_fast.evaluation.metrics.reconstructor_agreement import witness_figures
from stylerig_fast.measurement.analyzer import MEASURED, SPREAD, Measurements
from stylerig_fast.measurement.edit_runner import Edited, Measured
from stylerig_fast.measurement.edit_suite import turn
from stylerig_fast.measurement.expression import FaceMeasures

PEOPLE = 8


def observation(values, moved=0.0):
    descriptor = torch.zeros(PEOPLE, 128)
    descriptor[:, 0] = moved
    return Measurements(
        values=values,
        detected=torch.isfinite(values[:, 0]),
        descriptor=descriptor,
        landmarks=torch.zeros(PEOPLE, 68, 2),
        measures=FaceMeasures(*(torch.zeros(PEOPLE) for _ in range(6))),
        luminance=torch.ones(PEOPLE),
    )


def turned(gain, pitch=0.0, lies=0.0):
    people = torch.randn(PEOPLE, len(MEASURED), generator=torch.Generator().manual_seed(0)).double() * 0.1
    edits = []
    for step in (-15.0, 15.0):
        picture, model, says = people.clone(), people.clone(), people.clone()
        picture[:, 0] += gain * step
        picture[:, 1] += pitch * step
        model[:, 0] += step
        says[:, 0] += (gain + lies) * step
        outside = torch.full((PEOPLE,), 0.1).double()
        edits.append(
            Edited(
                turn("yaw", step), observation(picture, 0.3), observation(model), outside, {"own": observation(says)}
            )
        )
    before = observation(people)
    degrees = torch.full((PEOPLE, 3), torch.nan).double()
    return Measured(before, before, tuple(edits), degrees, torch.zeros(0), {"own": before})


def test_rows_are_what_was_put_in():
    found = answers({("rig", 1.0): turned(0.8, pitch=0.1), ("no edit", 0.0): turned(0.0)})
    assert [(answer.method, answer.kind) for answer in found] == [("rig", "yaw"), ("no edit", "yaw")]
    rig, nothing = map(row, found)
    assert rig.gain.value == pytest.approx(0.8)
    assert rig.error.value == pytest.approx(0.2)
    assert rig.identity.value == pytest.approx(0.3)
    assert rig.outside.value == pytest.approx(0.1)
    # Of six kept measures one moved by a tenth.
    assert rig.drift.value == pytest.approx(0.1 * SPREAD["yaw"] / SPREAD["pitch"] / 6, rel=1e-6)
    assert nothing.error.value == pytest.approx(1.0)
    assert row_json(rig)["gain"] == pytest.approx(0.8)


def test_surroundings_beside_another_method():
    mixing = turned(1.0)
    for edit in mixing.edits:
        edit.outside.mul_(4)
    found = answers({("rig", 1.0): turned(0.8), ("style mixing", 0.7): turned(0.7), ("style mixing", 1.0): mixing})
    figures = outside_figures(found, "rig", "style mixing")
    assert list(figures) == ["outside.yaw_over_style_mixing"]
    assert figures["outside.yaw_over_style_mixing"].value == pytest.approx(0.25)
    assert outside_figures(found, "rig", "nobody") == {}


def test_a_witness_that_is_pleased_shows():
    figures = witness_figures(turned(0.6, lies=0.3))
    assert figures["witness.yaw_by_own"].value == pytest.approx(0.9)
    assert figures["witness.yaw_in_picture"].value == pytest.approx(0.6)
    assert witness_figures(replace(turned(0.6), witnesses={}, edits=())) == {}


def test_disentanglement_falls_with_what_else_moves():
    clean, dirty = (keeping_figures(turned(1.0, pitch=p)) for p in (0.0, 0.5))
    assert dirty["drift.yaw"].value > clean["drift.yaw"].value
    stray = turned(1.0)
    for edit in stray.edits:
        edit.picture.values[:, MEASURED.index("light")] += 0.05 * edit.request.amount
    assert keeping_figures(stray)["disentanglement.pose"].value < 0.5 * clean["disentanglement.pose"].value
    assert clean["outside.yaw"].value == pytest.approx(0.1)
