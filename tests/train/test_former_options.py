"""Names that options had before still work: on the command line, and in the folders of runs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import tyro

from stylerig_fast.errors import CheckpointError
from stylerig_fast.train.config import RigDataConfig, RigTraining
from stylerig_fast.train.former_options import RIG, RIG_RENAMED, rewrite_flags
from stylerig_fast.train.run_folder import RunFolder

NEEDED = "--data d --reconstructor r"


def parsed(words: str) -> RigTraining:
    return tyro.cli(RigTraining, args=f"{NEEDED} {words}".split())


def test_former_flags_mean_the_present_ones(capsys: pytest.CaptureFixture[str]) -> None:
    former = (
        "--people 7 --pictures=6 --calibrate 5 --components 4 --no-siamese --weights.price 0.5 --grid 2 --start zero"
    )
    former += " --directions.mending 0.2 --surroundings 3 --directions.surroundings 0.4 --weight_decay 0.1 --steps 9"
    present = "--person.people 7 --images.people 6 --gains.people 5 --network.components 4 --cycle.no-siamese"
    present += " --cycle.weights.side-effects 0.5 --preview-people 2 --closed-form.start zero"
    present += " --closed-form.corrective 0.2 --closed-form.background-components 3 --closed-form.background 0.4"
    present += " --cycle.weight-decay 0.1 --cycle.steps 9"
    assert rewrite_flags(["rig", *former.split()])[1:] == present.replace("images.people 6", "images.people=6").split()
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 13
    assert notes[0] == "note: --people is now called --person.people; the former name goes with version 0.2.0"
    config = parsed(present)
    assert (config.person.people, config.images.people, config.gains.people) == (7, 6, 5)
    assert config.cycle.siamese is False and config.cycle.weights.side_effects == 0.5
    assert config.run.preview_people == 2 and config.closed_form.background == 0.4


def test_present_flags_and_other_stages_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["rig", "--data", "people", "--cycle.steps", "3", "--no-capture", "--seed", "1", "-h"],
        ["reconstructor", "--steps", "3", "--lr", "1"],
        ["sample", "--out", "x"],
        [],
    ):
        assert rewrite_flags(words) == words
    assert capsys.readouterr().err == ""


def test_every_former_name_leads_to_an_option() -> None:
    config = RigTraining(data=RigDataConfig(portraits=Path("d"), reconstructor=Path("r")))
    for former, present in RIG.items():
        value: Any = config
        for part in present.split("."):
            assert part in {option.name for option in dataclasses.fields(value)}, former
            value = getattr(value, part)
    assert len(set(RIG.values())) == len(RIG)
    assert set(RIG_RENAMED) < set(RIG)


def test_a_run_that_was_stored_with_former_names_goes_on(tmp_path: Path) -> None:
    """As the version before wrote it: flat, with the losses' and directions' weights as groups."""
    stored: dict[str, Any] = {"data": "d", "reconstructor": "r", "name": "rig", "runs": str(tmp_path), "people": 8000}
    stored |= {"weights": {"price": 0.02, "edit": 1.0}, "directions": {"mending": 1.0, "surroundings": 0.1}}
    stored |= {"surroundings": 32, "start": "linear", "grid": 4, "controls": ["pose", "expression", "illumination"]}
    stored |= {"render": {"photometric": 2.0, "landmarks": 60.0, "jaw": 0.1}, "resume": False, "steps": 200}
    (tmp_path / "rig").mkdir()
    path = tmp_path / "rig" / "config.json"
    words = ["--runs", str(tmp_path), "--resume", *NEEDED.split()]
    config = tyro.cli(RigTraining, args=words)
    path.write_text(json.dumps(stored))
    with RunFolder(config):
        pass
    path.write_text(json.dumps(stored | {"weights": {"price": 0.5}, "people": 3}))
    with pytest.raises(
        CheckpointError, match=r"another cycle\.weights\.side_effects, person\.people; use another --name"
    ):
        RunFolder(config)
