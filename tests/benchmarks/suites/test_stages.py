"""Stages: time between marks belongs to the innermost one, on both clocks."""

from __future__ import annotations

import pytest
import torch

from benchmarks.suites import stages
from benchmarks.suites.stages import MODULATION, PICTURE, REST, StageMarks, hooked, stage_names
from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.generators.stylegan1 import StyleGAN1
from stylerig_fast.generators.stylegan2 import StyleGAN2


class Ticks:
    """A CPU clock and device events that advance on their own: the device takes ten times as long."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        self.now += 1.0
        return self.now

    def event(self):
        ticks = self

        class Event:
            def record(self):
                self.at = ticks.now

            def elapsed_time(self, end):
                return 1e4 * (end.at - self.at)

        return Event()


def test_nested_stages_are_exclusive():
    ticks = Ticks()
    marks = StageMarks(ticks.clock, ticks.event)
    with marks.during("outer"):  # mark at 1
        with marks.during("inner"):  # 2
            pass  # 3
        with marks.during("inner"):  # 4
            pass  # 5
    # 6
    cpu, device = marks.spent()
    assert cpu == {"outer": 3000.0, "inner": 2000.0}
    assert device == {"outer": 30000.0, "inner": 20000.0}
    assert marks.spent() == ({}, {})
    assert marks.current == REST


def test_a_stage_that_fails_is_left():
    marks = StageMarks(Ticks().clock)
    with pytest.raises(RuntimeError), marks.during("x"):
        raise RuntimeError
    assert marks.current == REST
    assert marks.spent()[1] == {}


@pytest.mark.parametrize("kind", [MobileStyleGAN, StyleGAN1, StyleGAN2])
def test_every_family_has_its_stages_and_is_left_as_it_was(kind):
    generator = kind(channels=(8, 8, 8, 4), mapping_layers=1).eval().requires_grad_(False)
    ws = torch.randn(1, generator.num_ws, 512)
    before = generator.synthesis(ws)
    names = stage_names(generator)
    marks = StageMarks(Ticks().clock)
    with hooked(generator, names, marks), marks.during(REST):
        inside = generator.synthesis(ws)
    found, _ = marks.spent()
    # MobileStyleGAN's picture is twice as wide as its last layer.
    assert set(found) == {"4 px", "8 px", "16 px", "32 px", MODULATION, PICTURE, REST}
    assert torch.equal(inside, before)
    generator.synthesis(ws)
    assert marks.spent()[0] == {}
    assert not any("modulate" in vars(module) for module in generator.modules())


def test_the_order_of_the_table():
    names = ["request", "rig (F, RigNet)", "16 px", "128 px", "to RGB", "copy to NumPy"]
    assert stages._in_order(dict.fromkeys(sorted(names), 1.0)) == names
