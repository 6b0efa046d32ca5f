from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from stylerig_fast.engine.reach import Reach
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.measurement.edit_runner import EditResult, MeasuredEdits
from stylerig_fast.measurement.range_sweep import SweepStep, reach_table, sweep_edits, sweep_json, sweeps, write_reach
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.params import FaceParams
from tests.measured import measurements

PEOPLE = 6
UNITS = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
START = 0.3  # own yaw and pitch of everybody, degrees


def answered(answer, lost=()):
    """What is measured when a control answers ``answer(control, amount)`` of what is requested."""
    results = []
    for edit in sweep_edits(UNITS):
        measure = edit.kind.measure
        change = edit.amount - (0 if edit.kind.units else START)
        nobody = tuple(range(PEOPLE)) if edit.name in lost else ()
        picture = measurements(PEOPLE, changes={measure: change * answer(edit.kind.name, edit.amount)})
        picture = replace(picture, detected=torch.full((PEOPLE,), not nobody))
        results.append(EditResult(edit, picture, measurements(PEOPLE, changes={measure: change})))
    people = measurements(PEOPLE)
    measured = MeasuredEdits(people, people, tuple(results), torch.zeros(PEOPLE, 3), torch.zeros(0))
    return {sweep.kind.name: sweep for sweep in sweeps(measured)}


def test_the_range_ends_where_the_gain_leaves_the_band():
    found = answered(lambda control, amount: 1.0 if abs(amount) <= 20 else 0.7)
    assert found["yaw"].range == (-20.0, 20.0)
    assert found["jaw"].range == (0.0, 1.0)
    short = answered(lambda control, amount: 0.9 if control != "jaw" or amount < 0.6 else 0.75)
    assert short["jaw"].range == (0.0, 0.5)
    assert short["yaw"].range == (-40.0, 40.0)


def test_a_gain_that_may_lie_in_the_band_is_reached():
    """Six people of 0.5 to 1 have a mean of 0.75, which says little; sixty of 0.7 to 0.8 are below."""
    step = SweepStep(10.0, Estimate(0.75, 0.6, 0.9, 6), Estimate(1.0, 1.0, 1.0, 6), Estimate(0.2, 0.2, 0.2, 6))
    assert step.reached
    assert not replace(step, gain=Estimate(0.75, 0.72, 0.78, 60)).reached
    assert replace(step, gain=Estimate(1.25, 1.19, 1.3, 60)).reached
    assert not replace(step, gain=Estimate(1.25, 1.22, 1.3, 60)).reached
    # Two of 40 faces that are not found may be chance, three are not; nor is one of ten in many people.
    assert replace(step, detected=Estimate(0.95, 0.875, 1.0, 40)).reached
    assert not replace(step, detected=Estimate(0.925, 0.825, 1.0, 40)).reached
    assert not replace(step, detected=Estimate(0.9, 0.87, 0.93, 500)).reached
    assert not replace(step, detected=Estimate(math.nan, math.nan, math.nan, 0)).reached
    assert not replace(step, gain=Estimate(math.nan, math.nan, math.nan, 0)).reached


def test_eyes_count_as_closed_before_their_landmarks_meet():
    found = answered(lambda control, amount: 0.55)
    assert found["eyes"].range == (0.0, 1.0)
    assert found["jaw"].range == (0.0, 0.0)


def test_a_gap_ends_it_and_so_does_a_lost_face():
    gap = answered(lambda control, amount: 0.5 if amount == 15 else 1.0)
    assert gap["yaw"].range == (-40.0, 10.0)
    lost = answered(lambda control, amount: 1.0, lost=("pitch at -18",))
    assert lost["pitch"].range == (-12.0, 24.0)


def test_a_unit_that_never_answers_is_written_as_unreachable(tmp_path):
    found = answered(lambda control, amount: 0.1 if control == "eyes" else 1.0)
    table = reach_table(list(found.values()))
    write_reach(tmp_path / "reach.json", table)
    reach = Reach.load(tmp_path / "reach.json")
    assert reach.angles["yaw"] == (-40.0, 40.0)
    assert reach.angles["roll"] == (-20.0, 20.0)
    assert reach.expression == {"jawOpen": (0.0, 1.0), "eyeBlinkLeft": (0.0, 0.0), "eyeBlinkRight": (0.0, 0.0)}
    plain = sweep_json(list(found.values()))
    assert plain["jawOpen"]["range"] == [0.0, 1.0]
    assert plain["yaw"]["steps"][0]["gain"] == pytest.approx(1.0)


def test_what_could_not_be_measured_is_not_reached():
    found = answered(lambda control, amount: math.nan)
    assert found["yaw"].range == (0.0, 0.0)
    assert sweep_json(list(found.values()))["yaw"]["steps"][0]["gain"] is None


def test_angles_are_set_and_units_too():
    face_model = open_face_model()
    flat = FaceParams.from_vector(
        torch.zeros(2, sum(face_model.sizes.values())), face_model.sizes, face_model.expression_names
    )
    source = flat.with_pose(yaw=7.0)
    edits = {edit.name: edit for edit in sweep_edits(UNITS)}
    assert edits["yaw at -30"].apply(source).pose_degrees()[:, 0].tolist() == pytest.approx([-30.0, -30.0])
    assert {edit.kind.name for edit in edits.values()} == {"yaw", "pitch", "jaw", "eyes"}
    quick = {edit.kind.name for edit in sweep_edits(("jawOpen", "mouthPucker"), quick=True)}
    assert quick == {"yaw", "pitch", "jaw"}
