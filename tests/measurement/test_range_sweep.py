from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from stylerig_fast.engine.reach import Reach
from stylerig_fast.measurement.analyzer import MEASURED, Measurements
from stylerig_fast.measurement.edit_runner import Edited, Measured
from stylerig_fast.measurement.expression import FaceMeasures
from stylerig_fast.measurement.range_sweep import Step, reach_table, sweep_json, sweep_requests, sweeps, write_reach
from stylerig_fast.measurement.statistics import Figure

PEOPLE = 6
UNITS = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
START = 0.3  # own yaw and pitch of everybody, degrees


def observation(values, detected=True):
    return Measurements(
        values=values,
        detected=torch.full((PEOPLE,), detected),
        descriptor=torch.zeros(PEOPLE, 128),
        landmarks=torch.zeros(PEOPLE, 68, 2),
        measures=FaceMeasures(*(torch.zeros(PEOPLE) for _ in range(6))),
        luminance=torch.ones(PEOPLE),
    )


def answered(answer, lost=()):
    """What is measured when a control answers ``answer(control, amount)`` of what is asked."""
    asked, edits = sweep_requests(UNITS), []
    people = torch.full((PEOPLE, len(MEASURED)), START, dtype=torch.float64)
    for control, units, measure, request in asked:
        column = MEASURED.index(measure)
        model, picture = people.clone(), people.clone()
        change = request.amount - (0 if units else START)
        model[:, column] += change
        picture[:, column] += change * answer(control, request.amount)
        edits.append(Edited(request, observation(picture, request.name not in lost), observation(model)))
    degrees = torch.zeros(PEOPLE, 3)
    measured = Measured(observation(people), observation(people), tuple(edits), degrees, torch.zeros(0))
    return {sweep.control: sweep for sweep in sweeps(asked, measured)}


def test_the_range_ends_where_the_gain_leaves_the_band():
    found = answered(lambda control, amount: 1.0 if abs(amount) <= 20 else 0.7)
    assert found["yaw"].range == (-20.0, 20.0)
    assert found["jawOpen"].range == (0.0, 1.0)
    short = answered(lambda control, amount: 0.9 if control != "jawOpen" or amount < 0.6 else 0.75)
    assert short["jawOpen"].range == (0.0, 0.5)
    assert short["yaw"].range == (-40.0, 40.0)


def test_a_gain_that_may_lie_in_the_band_is_reached():
    """Six people of 0.5 to 1 have a mean of 0.75, which says little; sixty of 0.7 to 0.8 are below."""
    step = Step(10.0, Figure(0.75, 0.6, 0.9, 6), Figure(1.0, 1.0, 1.0, 6), Figure(0.2, 0.2, 0.2, 6))
    assert step.reached
    assert not replace(step, gain=Figure(0.75, 0.72, 0.78, 60)).reached
    assert replace(step, gain=Figure(1.25, 1.19, 1.3, 60)).reached
    assert not replace(step, gain=Figure(1.25, 1.22, 1.3, 60)).reached
    # Two of 40 faces that are not found may be chance, three are not; nor is one of ten in many people.
    assert replace(step, found=Figure(0.95, 0.875, 1.0, 40)).reached
    assert not replace(step, found=Figure(0.925, 0.825, 1.0, 40)).reached
    assert not replace(step, found=Figure(0.9, 0.87, 0.93, 500)).reached
    assert not replace(step, found=Figure(math.nan, math.nan, math.nan, 0)).reached
    assert not replace(step, gain=Figure(math.nan, math.nan, math.nan, 0)).reached


def test_eyes_count_as_closed_before_their_landmarks_meet():
    found = answered(lambda control, amount: 0.55)
    assert found["eyeBlinkLeft + eyeBlinkRight"].range == (0.0, 1.0)
    assert found["jawOpen"].range == (0.0, 0.0)


def test_a_gap_ends_it_and_so_does_a_lost_face():
    gap = answered(lambda control, amount: 0.5 if amount == 15 else 1.0)
    assert gap["yaw"].range == (-40.0, 10.0)
    lost = answered(lambda control, amount: 1.0, lost=("pitch at -18",))
    assert lost["pitch"].range == (-12.0, 24.0)


def test_a_unit_that_never_answers_is_written_as_unreachable(tmp_path):
    found = answered(lambda control, amount: 0.1 if "eyeBlink" in control else 1.0)
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
