"""Estimates beside the gains: background, reconstructors, disentanglement, and the scores of the comparison."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stylerig_fast.evaluation.comparison import method_outcomes, method_score, scores_json
from stylerig_fast.evaluation.metrics.background import background, background_over_style_mixing
from stylerig_fast.evaluation.metrics.disentanglement import disentanglement
from stylerig_fast.evaluation.metrics.off_target_change import off_target_change
from stylerig_fast.evaluation.metrics.reconstructor_agreement import reconstructor_agreement
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.edit_runner import EditResult, MeasuredEdits
from stylerig_fast.measurement.edit_suite import make_edit
from tests.measured import STD, measurements

PEOPLE = 8


def turned(gain, pitch=0.0, lies=0.0, light=0.0):
    """Turns that arrive by ``gain``, drag pitch and light along, and that a reconstructor reports by ``lies`` more."""
    moved = torch.zeros(PEOPLE, 128)
    moved[:, 0] = 0.3
    results = []
    for step in (-15.0, 15.0):
        change = {"yaw": gain * step, "pitch": pitch * step, "light": light * step}
        results.append(
            EditResult(
                make_edit(EDIT_KINDS["yaw"], step),
                measurements(PEOPLE, descriptor=moved, changes=change),
                measurements(PEOPLE, changes={"yaw": step}),
                torch.full((PEOPLE,), 0.1).double(),
                {"training": measurements(PEOPLE, changes={"yaw": (gain + lies) * step})},
            )
        )
    before = measurements(PEOPLE, descriptor=torch.zeros(PEOPLE, 128))
    degrees = torch.full((PEOPLE, 3), torch.nan).double()
    return MeasuredEdits(before, before, tuple(results), degrees, torch.zeros(0), {"training": before})


def outcomes(found):
    return method_outcomes(found, STD)


def test_scores_are_what_was_put_in():
    found = outcomes({("rig", 1.0): turned(0.8, pitch=0.1), ("no edit", 0.0): turned(0.0)})
    assert [(outcome.method, outcome.kind) for outcome in found] == [("rig", "yaw"), ("no edit", "yaw")]
    rig, nothing = map(method_score, found)
    assert rig.gain.value == pytest.approx(0.8)
    assert rig.error.value == pytest.approx(0.2)
    assert rig.identity.value == pytest.approx(0.3)
    assert rig.background.value == pytest.approx(0.1)
    # Of six kept measures one moved by a tenth.
    assert rig.off_target_change.value == pytest.approx(0.1 * STD["yaw"] / STD["pitch"] / 6, rel=1e-6)
    assert nothing.error.value == pytest.approx(1.0)
    assert scores_json([rig])[0]["gain"] == pytest.approx(0.8)


def test_changes_are_divided_by_the_standard_deviations_that_are_passed():
    wider = replace(STD, values={**STD.values, "pitch": 2 * STD["pitch"]})
    (narrow,), (wide,) = (method_outcomes({("rig", 1.0): turned(1.0, pitch=0.1)}, std) for std in (STD, wider))
    assert torch.allclose(wide.off_target, narrow.off_target / 2)
    name = "off_target_change.yaw_to_pitch"
    less, more = (off_target_change(turned(1.0, pitch=0.1), std)[name].value for std in (wider, STD))
    assert less == pytest.approx(more / 2)


def test_background_beside_style_mixing():
    mixing = turned(1.0)
    for result in mixing.results:
        result.background.mul_(4)
    found = outcomes({("rig", 1.0): turned(0.8), ("style mixing", 0.7): turned(0.7), ("style mixing", 1.0): mixing})
    estimates = background_over_style_mixing(found, "rig")
    assert list(estimates) == ["background.yaw_over_style_mixing"]
    assert estimates["background.yaw_over_style_mixing"].value == pytest.approx(0.25)
    assert background_over_style_mixing(found, "second rig") == {}


def test_a_reconstructor_that_is_pleased_shows():
    found = reconstructor_agreement(turned(0.6, lies=0.3))
    assert found["reconstructor_agreement.yaw_by_training"].value == pytest.approx(0.9)
    assert found["reconstructor_agreement.yaw_in_picture"].value == pytest.approx(0.6)
    assert reconstructor_agreement(replace(turned(0.6), by_reconstructor={}, results=())) == {}


def test_off_target_change_grows_with_what_else_moves():
    clean, dirty = (off_target_change(turned(1.0, pitch=p), STD) for p in (0.0, 0.5))
    assert dirty["off_target_change.yaw"].value > clean["off_target_change.yaw"].value
    assert background(turned(1.0))["background.yaw"].value == pytest.approx(0.1)


def test_disentanglement_falls_with_what_else_moves():
    def score(light):
        measured = turned(1.0, light=light)
        results = tuple(
            replace(each, picture=_expressive(each.picture, each.picture.descriptor)) for each in measured.results
        )
        return disentanglement(replace(measured, results=results), STD)

    little, much = score(0.005), score(0.05)
    assert little.keys() == {"disentanglement.pose"}
    assert much["disentanglement.pose"].value == pytest.approx(0.1 * little["disentanglement.pose"].value, rel=1e-6)


def test_the_identity_of_two_people_is_measured_where_no_reference_is_known():
    """With people twice as far apart from each other, the same change of the person counts half."""

    def score(distance, std):
        measured = turned(1.0, pitch=0.2, light=0.01)
        people = distance * torch.eye(128)[:PEOPLE]
        moved = [replace(r, picture=_expressive(r.picture, people + 0.1 * i)) for i, r in enumerate(measured.results)]
        before = replace(measured.before, descriptor=people)
        found = disentanglement(replace(measured, before=before, results=tuple(moved)), std)
        return found["disentanglement.pose"].value

    unknown = replace(STD, identity=None)
    assert score(2.0, unknown) == pytest.approx(2 * score(1.0, unknown), rel=1e-5)
    assert score(2.0, STD) == pytest.approx(score(1.0, STD), rel=1e-5)


def _expressive(seen, descriptor):
    """Something of the expression has to move, for the score divides by it."""
    return replace(seen, mouth_opening=seen.mouth_opening + seen.yaw / 100, descriptor=descriptor)
