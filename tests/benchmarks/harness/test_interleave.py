"""Turns: who is measured when, for how long, with which request."""

from __future__ import annotations

import pytest

from benchmarks.harness import interleave as rounds
from benchmarks.harness.interleave import TimingPlan, interleave


@pytest.fixture(autouse=True)
def no_garbage(monkeypatch):
    monkeypatch.setattr("benchmarks.harness.interleave.gc.collect", lambda: None)


class World:
    """A clock that stands still but for what systems take."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def system(self, name, seconds):
        def make(frame):
            self.calls.append((name, frame))
            self.now += seconds

        return make

    def clock(self):
        return self.now


def test_systems_take_turns_and_the_order_rotates():
    world = World()
    who = {name: world.system(name, 0.25) for name in "abc"}
    times = interleave(who, TimingPlan(rounds=3, samples=6, seconds=0, warm_up=1), world.clock)
    assert times == {name: [[250.0, 250.0]] * 3 for name in "abc"}
    names = "".join(name for name, _ in world.calls)
    assert names == "aaabbbccc" + "bbbcccaaa" + "cccaaabbb"


def test_everybody_answers_the_same_requests():
    world = World()
    who = {name: world.system(name, 0.25) for name in "ab"}
    interleave(who, TimingPlan(rounds=2, samples=4, seconds=0, warm_up=1), world.clock)
    of = {name: [frame for who, frame in world.calls if who == name] for name in "ab"}
    assert of["a"] == of["b"]
    assert len(set(of["a"])) > 2


def test_fast_ones_go_on_until_the_time_is_up_but_not_for_ever(monkeypatch):
    world = World()
    who = {"fast": world.system("fast", 1 / 64), "slow": world.system("slow", 4.0)}
    times = interleave(who, TimingPlan(rounds=2, samples=4, seconds=2.0, warm_up=0), world.clock)
    assert [len(each) for each in times["fast"]] == [64, 64]
    assert [len(each) for each in times["slow"]] == [2, 2]
    monkeypatch.setattr(rounds, "MAX_SAMPLES", 20)
    times = interleave(who, TimingPlan(rounds=2, samples=4, seconds=2.0, warm_up=0), world.clock)
    assert [len(each) for each in times["fast"]] == [10, 10]
