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
from stylerig_fast.train.batch import code_statistics
from stylerig_fast.train.config import PortraitConfig, ReconstructorTraining, RunConfig
from stylerig_fast.train.reconstructor import run
from stylerig_fast.train.run_folder import RunFolder

from .conftest import world_params

RUN = {"log_every": 10, "save_every": 15}


def config(world: Path, tmp_path: Path, name: str = "reconstructor", **options: Any) -> ReconstructorTraining:
    """A short training; ``options`` of the run go there, the others are of the network."""
    of_run = RUN | {key: options.pop(key) for key in ("resume", "device", *RUN) if key in options}
    return ReconstructorTraining(
        data=PortraitConfig(portraits=world, size=options.pop("size", 32)),
        run=RunConfig(name=name, runs=tmp_path, **of_run),
        **{"steps": 30, "batch": 8, "hidden": 64, "noise": 0.0, **options},
    )


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

    save = RunFolder.save_state

    def save_and_stop(self: RunFolder, step: int, *rest: object) -> None:
        save(self, step, *rest)
        raise Stop

    monkeypatch.setattr(RunFolder, "save_state", save_and_stop)
    with pytest.raises(Stop):
        run(config(world, tmp_path, name="halves"))
    monkeypatch.setattr(RunFolder, "save_state", save)
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


def test_a_run_from_before_an_option_goes_on_with_its_default(world: Path, tmp_path: Path) -> None:
    options = config(world, tmp_path)
    with RunFolder(options):
        pass
    path = tmp_path / "reconstructor" / "config.json"
    stored = json.loads(path.read_text())
    del stored["run"]["capture"]
    path.write_text(json.dumps(stored))
    resumed = dataclasses.replace(options, run=dataclasses.replace(options.run, resume=True))
    with RunFolder(resumed):
        pass
    other = dataclasses.replace(resumed, run=dataclasses.replace(resumed.run, capture=False))
    with pytest.raises(CheckpointError, match=r"another run\.capture"):
        RunFolder(other)


def test_a_run_stored_with_former_names_goes_on(world: Path, tmp_path: Path) -> None:
    former = {"data": str(world), "preset": "default", "name": "reconstructor", "runs": str(tmp_path), "size": 32}
    former |= {"face_model": None, "limit": None, "steps": 30, "batch": 8, "hidden": 64, "noise": 0.0, "lr": 5e-4}
    former |= {"seed": 0, "log_every": 10, "save_every": 15, "resume": False, "priors": {"identity": 8e-3}}
    folder = tmp_path / "reconstructor"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(former))
    with RunFolder(config(world, tmp_path, resume=True)):
        pass
    (folder / "config.json").write_text(json.dumps(former | {"lr": 1.0, "priors": {"identity": 1.0}}))
    with pytest.raises(CheckpointError, match=r"had another lr, priors\.identity; use"):
        RunFolder(config(world, tmp_path, resume=True))
