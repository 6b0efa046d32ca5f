from __future__ import annotations

import dataclasses
from pathlib import Path

from stylerig_fast.train.config import (
    CycleConfig,
    CycleWeights,
    PortraitConfig,
    ReconstructorTraining,
    RigDataConfig,
    RigTraining,
    with_preset,
)

DATA = RigDataConfig(portraits=Path("d"), reconstructor=Path("r"))


def test_a_preset_changes_defaults_only() -> None:
    given = RigTraining(data=DATA, preset="paper", cycle=CycleConfig(lr=0.5, weights=CycleWeights(edit=2.0)))
    config = with_preset(given)
    assert (config.network.form, config.closed_form.start) == ("linear", "zero")
    assert (config.cycle.optimiser, config.cycle.requests, config.cycle.lr) == ("adadelta", 0, 0.5)
    assert (config.person.people, config.images.people, config.gains.people) == (0, 0, 0)
    assert config.cycle.weights == CycleWeights(edit=2.0, side_effects=0.0)
    assert config.cycle.steps == given.cycle.steps and config.data == DATA
    assert with_preset(config) == config


def test_no_preset_changes_nothing() -> None:
    config = RigTraining(data=DATA)
    assert with_preset(config) is config


def test_paper_reconstructor_knows_no_pose_term() -> None:
    given = ReconstructorTraining(data=PortraitConfig(portraits=Path("d")), preset="paper", noise=0.3)
    config = with_preset(given)
    assert (config.optimiser, config.lr, config.pose, config.noise) == ("adadelta", 0.01, 0.0, 0.3)
    assert dataclasses.replace(config, optimiser="adamw").render == given.render
