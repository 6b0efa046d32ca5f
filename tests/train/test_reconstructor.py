from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.errors import CheckpointError
from stylerig_fast.face import FaceModel
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.train.batches import code_statistics
from stylerig_fast.train.reconstructor import ReconstructorTraining, run
from stylerig_fast.train.run import Run

from .conftest import world_params


def config(world: Path, tmp_path: Path, **options: Any) -> ReconstructorTraining:
    base = ReconstructorTraining(
        data=world, runs=tmp_path, size=32, steps=30, batch=8, hidden=64, noise=0.0, log_every=10, save_every=15
    )
    return dataclasses.replace(base, **options)


def test_learns_the_pose_of_the_world(world: Path, tmp_path: Path, face_model: FaceModel) -> None:
    reconstructor = run(config(world, tmp_path, steps=120, lr=3e-3))
    portraits = PortraitSet.load(world, size=32, shards="train")
    w = portraits.ws()
    truth, found = world_params(face_model, w).pose_degrees()[:, 0], reconstructor(w).pose_degrees()[:, 0]
    correlation = torch.corrcoef(torch.stack([truth, found]))[0, 1]
    assert correlation > 0.8
    folder = tmp_path / "reconstructor"
    assert list(folder.glob("events.*"))
    assert json.loads((folder / "metrics.json").read_text())["portraits"] == 64
    again = FaceReconstructor.from_pretrained(folder / "reconstructor")
    assert torch.equal(again.vector(w), reconstructor.vector(w))


def test_resume_gives_the_same_weights(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(config(world, tmp_path, name="whole")).state_dict()

    class Stop(Exception):
        pass

    save = Run.save_state

    def save_and_stop(self: Run, step: int, *rest: object) -> None:
        save(self, step, *rest)
        raise Stop

    monkeypatch.setattr(Run, "save_state", save_and_stop)
    with pytest.raises(Stop):
        run(config(world, tmp_path, name="halves"))
    monkeypatch.setattr(Run, "save_state", save)
    resumed = run(config(world, tmp_path, name="halves", resume=True)).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, msg=name)


def test_a_run_is_not_overwritten(world: Path, tmp_path: Path) -> None:
    run(config(world, tmp_path, steps=1))
    with pytest.raises(CheckpointError, match="holds a run already"):
        run(config(world, tmp_path, steps=1))
    with pytest.raises(CheckpointError, match="another steps"):
        run(config(world, tmp_path, steps=2, resume=True))


def test_statistics_are_those_of_the_codes(world: Path) -> None:
    portraits = PortraitSet.load(world, size=16)
    mean, std = code_statistics(portraits)
    torch.testing.assert_close(mean, portraits.ws().mean(0))
    torch.testing.assert_close(std, portraits.ws().std(0, correction=0))


def test_a_run_from_before_an_option_goes_on_with_its_default(tmp_path: Path) -> None:
    options = ReconstructorTraining(data=tmp_path, runs=tmp_path, name="old")
    with Run(tmp_path / "old", options, resume=False):
        pass
    path = tmp_path / "old" / "config.json"
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name != "capture"}
    path.write_text(json.dumps(kept))
    with Run(tmp_path / "old", options, resume=True):
        pass
    with pytest.raises(CheckpointError, match="another capture"):
        Run(tmp_path / "old", dataclasses.replace(options, capture=False), resume=True)
