"""The rig beside other methods at equal identity distance."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from stylerig_fast.evaluation.comparison import MethodOutcome
from stylerig_fast.evaluation.iso_identity import comparison_json, iso_identity_comparisons, verdict
from stylerig_fast.measurement.statistics import Estimate
from tests.measured import STD

PEOPLE = 12


def outcome(method, strength, identity, error, off_target, noise=0.0, kind="yaw"):
    size = torch.full((PEOPLE,), 20.0).double()
    wobble = noise * torch.linspace(-1, 1, PEOPLE).double()
    return MethodOutcome(
        method,
        kind,
        strength,
        requested=size[:, None],
        measured=size[:, None],
        requested_sum=size,
        error_sum=(error + wobble) * size,
        requested_std=size / STD[kind],
        off_target=(off_target + wobble) * size / STD[kind],
        identity=torch.full((PEOPLE,), identity).double(),
        background=torch.zeros(PEOPLE).double(),
        detected=1.0,
    )


RIG, NOTHING = outcome("rig", 1.0, 0.3, 0.1, 0.2), outcome("no edit", 0.0, 0.0, 1.0, 0.0)


def test_a_method_that_costs_more_is_held_to_the_rigs_distance():
    mixing = outcome("style mixing", 1.0, 0.6, 0.1, 0.8)
    (found,) = iso_identity_comparisons([RIG, NOTHING, mixing])
    assert (found.method, found.kind) == ("style mixing", "yaw")
    assert found.identity == pytest.approx(0.3)
    # Half of the way from no edit.
    assert [found.other_error, found.other_off_target_change] == pytest.approx([0.55, 0.4])
    assert [found.more_error.value, found.more_off_target_change.value] == pytest.approx([0.45, 0.2])
    assert verdict(found.more_error) == verdict(found.more_off_target_change) == "less"


def test_a_cheap_method_may_ask_for_more():
    """At full strength it errs twice as much; with the distance it has left it errs less than the rig."""
    pattern = [outcome("pattern", s, 0.2 * s, abs(1 - 0.8 * s), 0.1) for s in (0.7, 1.0, 1.25, 2.0)]
    (found,) = iso_identity_comparisons([RIG, NOTHING, *pattern])
    assert [found.other_error, found.other_off_target_change] == pytest.approx([0.0, 0.1])
    assert verdict(found.more_error) == "more"
    assert verdict(found.more_off_target_change) == "more"


def test_the_least_error_is_not_at_the_largest_distance():
    beyond = [outcome("filter", s, 0.1 * s, abs(1 - s), 0.0) for s in (1.0, 2.0)]
    (found,) = iso_identity_comparisons([RIG, NOTHING, *beyond])
    assert found.other_error == pytest.approx(0.0)


def test_noise_tells_nothing_apart():
    (found,) = iso_identity_comparisons([RIG, NOTHING, outcome("pattern", 1.0, 0.3, 0.11, 0.2, noise=0.1)])
    assert found.more_error.low < 0 < found.more_error.high
    assert verdict(found.more_error) == "not told apart"
    # The same people, resampled together: noise that both share is none.
    shared = [outcome("rig", 1.0, 0.3, 0.10, 0.2, 0.1), outcome("pattern", 1.0, 0.3, 0.11, 0.2, 0.1)]
    (found,) = iso_identity_comparisons([NOTHING, *shared])
    assert found.more_error.low == pytest.approx(0.01) == found.more_error.high


def test_people_without_a_face_are_left_out():
    lost = outcome("rig", 1.0, 0.3, 0.1, 0.2)
    for values in (lost.requested_sum, lost.error_sum, lost.requested_std, lost.off_target):
        values[0] = 0
    lost.identity[0] = torch.nan
    (found,) = iso_identity_comparisons([lost, NOTHING, outcome("style mixing", 1.0, 0.6, 0.1, 0.8)])
    assert [found.identity, found.error] == pytest.approx([0.3, 0.1])


@pytest.mark.filterwarnings("error")
def test_a_method_that_leaves_no_face_is_followed_no_further():
    lost = outcome("optimisation", 1.0, torch.nan, 0.0, 0.0)
    for values in (lost.requested_sum, lost.error_sum, lost.requested_std, lost.off_target):
        values.zero_()
    (found,) = iso_identity_comparisons([RIG, NOTHING, outcome("optimisation", 0.7, 0.2, 0.5, 0.3), lost])
    assert [found.other_error, found.other_off_target_change] == pytest.approx([0.5, 0.3])
    assert verdict(found.more_error) == "less"


def test_without_the_rig_there_is_nothing_to_set_beside():
    assert iso_identity_comparisons([NOTHING, outcome("style mixing", 1.0, 0.6, 0.1, 0.8)]) == []
    assert iso_identity_comparisons([RIG, NOTHING]) == []


def test_plain_values():
    (found,) = iso_identity_comparisons([RIG, NOTHING, outcome("style mixing", 1.0, 0.6, 0.1, 0.8)])
    plain = comparison_json(found)
    assert json.loads(json.dumps(plain, allow_nan=False))["more_error"]["value"] == pytest.approx(0.45)
    assert (plain["rig_has_error"], plain["rig_has_off_target_change"]) == ("less", "less")


def test_one_person_is_told_from_nobody():
    tensors = (
        *("requested", "measured", "requested_sum", "error_sum", "requested_std"),
        *("off_target", "identity", "background"),
    )
    few = [
        replace(each, **{name: getattr(each, name)[:1] for name in tensors})
        for each in (RIG, NOTHING, outcome("style mixing", 1.0, 0.6, 0.1, 0.8))
    ]
    (found,) = iso_identity_comparisons(few)
    assert verdict(found.more_error) == "not told apart"
    json.dumps(comparison_json(found), allow_nan=False)
    assert verdict(Estimate(0.1, 0.0, 0.2, 5)) == "not told apart"
