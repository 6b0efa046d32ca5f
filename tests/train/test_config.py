from __future__ import annotations

from pathlib import Path

from stylerig_fast.train import reconstructor
from stylerig_fast.train.config import with_preset
from stylerig_fast.train.rig import train as rig
from stylerig_fast.train.weights import RigWeights


def test_a_preset_changes_defaults_only() -> None:
    given = rig.RigTraining(data=Path("d"), reconstructor=Path("r"), lr=0.5)
    config = with_preset(given, rig.PAPER)
    assert (config.form, config.start, config.optimiser, config.lr) == ("linear", "zero", "adadelta", 0.5)
    assert config.weights == RigWeights(price=0.0)
    assert config.steps == given.steps
    own = rig.RigTraining(data=Path("d"), reconstructor=Path("r"), weights=RigWeights(edit=2.0))
    assert with_preset(own, rig.PAPER).weights == RigWeights(edit=2.0)


def test_paper_reconstructor_knows_no_pose_term() -> None:
    config = with_preset(reconstructor.ReconstructorTraining(data=Path("d")), reconstructor.PAPER)
    assert (config.optimiser, config.lr, config.pose) == ("adadelta", 0.01, 0.0)
