"""The rig beside other methods at equal identity distance."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from stylerig_fast.evaluation.comparison import Answers
from stylerig_fast.evaluation.iso_identity import standing_json, standings, verdict
from stylerig_fast.measurement.analyzer import SPREAD
from stylerig_fast.measurement.statistics import Figure

PEOPLE = 12


def answer(method, strength, identity, error, drift, noise=0.0, kind="yaw"):
    size = torch.full((PEOPLE,), 20.0).double()
    wobble = noise * torch.linspace(-1, 1, PEOPLE).double()
    return Answers(
        method,
        kind,
        strength,
        want=size[:, None],
        got=size[:, None],
        size=size,
        off=(error + wobble) * size,
        stray=(drift + wobble) * size / SPREAD[kind],
        identity=torch.full((PEOPLE,), identity).double(),
        outside=torch.zeros(PEOPLE).double(),
        found=1.0,
    )


RIG, NOTHING = answer("rig", 1.0, 0.3, 0.1, 0.2), answer("no edit", 0.0, 0.0, 1.0, 0.0)


def test_a_method_that_costs_more_is_held_to_the_rigs_distance():
    mixing = answer("style mixing", 1.0, 0.6, 0.1, 0.8)
    (found,) = standings([RIG, NOTHING, mixing])
    assert (found.method, found.kind) == ("style mixing", "yaw")
    assert found.identity == pytest.approx(0.3)
    # Half of the way from no edit.
    assert [found.other_error, found.other_drift] == pytest.approx([0.55, 0.4])
    assert [found.more_error.value, found.more_drift.value] == pytest.approx([0.45, 0.2])
    assert verdict(found.more_error) == verdict(found.more_drift) == "less"


def test_a_cheap_method_may_ask_for_more():
    """At full strength it errs twice as much; with the distance it has left it errs less than the rig."""
    pattern = [answer("pattern", s, 0.2 * s, abs(1 - 0.8 * s), 0.1) for s in (0.7, 1.0, 1.25, 2.0)]
    (found,) = standings([RIG, NOTHING, *pattern])
    assert [found.other_error, found.other_drift] == pytest.approx([0.0, 0.1])
    assert verdict(found.more_error) == "more"
    assert verdict(found.more_drift) == "more"


def test_the_least_error_is_not_at_the_largest_distance():
    beyond = [answer("filter", s, 0.1 * s, abs(1 - s), 0.0) for s in (1.0, 2.0)]
    (found,) = standings([RIG, NOTHING, *beyond])
    assert found.other_error == pytest.approx(0.0)


def test_noise_tells_nothing_apart():
    (found,) = standings([RIG, NOTHING, answer("pattern", 1.0, 0.3, 0.11, 0.2, noise=0.1)])
    assert found.more_error.low < 0 < found.more_error.high
    assert verdict(found.more_error) == "not told apart"
    # The same people, resampled together: noise that both share is none.
    shared = [answer("rig", 1.0, 0.3, 0.10, 0.2, 0.1), answer("pattern", 1.0, 0.3, 0.11, 0.2, 0.1)]
    (found,) = standings([NOTHING, *shared])
    assert found.more_error.low == pytest.approx(0.01) == found.more_error.high


def test_people_without_a_face_are_left_out():
    lost = answer("rig", 1.0, 0.3, 0.1, 0.2)
    for values in (lost.size, lost.off, lost.stray):
        values[0] = 0
    lost.identity[0] = torch.nan
    (found,) = standings([lost, NOTHING, answer("style mixing", 1.0, 0.6, 0.1, 0.8)])
    assert [found.identity, found.error] == pytest.approx([0.3, 0.1])


@pytest.mark.filterwarnings("error")
def test_a_method_that_leaves_no_face_is_followed_no_further():
    lost = answer("optimisation", 1.0, torch.nan, 0.0, 0.0)
    for values in (lost.size, lost.off, lost.stray):
        values.zero_()
    (found,) = standings([RIG, NOTHING, answer("optimisation", 0.7, 0.2, 0.5, 0.3), lost])
    assert [found.other_error, found.other_drift] == pytest.approx([0.5, 0.3])
    assert verdict(found.more_error) == "less"


def test_without_the_rig_there_is_nothing_to_set_beside():
    assert standings([NOTHING, answer("style mixing", 1.0, 0.6, 0.1, 0.8)]) == []
    assert standings([RIG, NOTHING]) == []


def test_plain_values():
    (found,) = standings([RIG, NOTHING, answer("style mixing", 1.0, 0.6, 0.1, 0.8)])
    plain = standing_json(found)
    assert json.loads(json.dumps(plain, allow_nan=False))["more_error"]["value"] == pytest.approx(0.45)
    assert (plain["rig_has_error"], plain["rig_has_drift"]) == ("less", "less")


def test_one_person_is_told_from_nobody():
    tensors = ("want", "got", "size", "off", "stray", "identity", "outside")
    few = [
        replace(each, **{name: getattr(each, name)[:1] for name in tensors})
        for each in (RIG, NOTHING, answer("style mixing", 1.0, 0.6, 0.1, 0.8))
    ]
    (found,) = standings(few)
    assert verdict(found.more_error) == "not told apart"
    json.dumps(standing_json(found), allow_nan=False)
    assert verdict(Figure(0.1, 0.0, 0.2, 5)) == "not told apart"
