"""The three stages with a converted generator and a face model that has other sizes and no named units."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stylerig_fast import Engine
from stylerig_fast.errors import CheckpointError
from stylerig_fast.face import FaceModel
from stylerig_fast.face.model_io import load_face_model, save_face_model
from stylerig_fast.generators import Generator, open_generator, save_generator
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.measurement.landmarks import Landmarks
from stylerig_fast.train.config import (
    ClosedFormConfig,
    CycleConfig,
    GainCalibrationConfig,
    ImageCorrectionConfig,
    PortraitConfig,
    ReconstructorTraining,
    RigDataConfig,
    RigNetworkConfig,
    RigRunConfig,
    RigTraining,
    RunConfig,
    SampleConfig,
)
from stylerig_fast.train.reconstructor import run as train_reconstructor
from stylerig_fast.train.rig.train import run as train_rig
from stylerig_fast.train.sample_portraits import run as sample


class CentralFace:
    """A detector that finds the same face everywhere: what an untrained generator draws has none."""

    def __init__(self, model: FaceModel) -> None:
        points = model.mean[model.landmarks, :2] * torch.tensor([0.35, -0.35])
        self.points = points - points.mean(0) + 0.5

    def detect(self, images: np.ndarray) -> Landmarks:
        return Landmarks(self.points.expand(len(images), 68, 2), torch.ones(len(images), dtype=torch.bool))


def untrained(seed: int) -> Generator:
    torch.manual_seed(seed)
    return StyleGAN2(channels=(8, 8, 8, 8), mapping_layers=1, name="converted").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, face_model: FaceModel) -> Path:
    """A folder with a generator, a face model and a portrait set."""
    folder = tmp_path_factory.mktemp("parts")
    save_generator(folder / "generator", untrained(0))
    other = dataclasses.replace(
        face_model,
        name="without units",
        identity=face_model.identity[:7],
        albedo=face_model.albedo[:5],
        expression=face_model.expression[:6],
        expression_names=tuple(f"residual_{i:02d}" for i in range(6)),
    )
    save_face_model(other, folder / "face.safetensors")
    config = SampleConfig(out=folder / "set", count=48, shard_size=24, size=32, generator=str(folder / "generator"))
    sample(config, detector=CentralFace(other))
    return folder


def reconstructor(parts: Path, runs: Path) -> Path:
    train_reconstructor(
        ReconstructorTraining(
            data=PortraitConfig(portraits=parts / "set", face_model=parts / "face.safetensors", size=32),
            steps=3,
            batch=4,
            hidden=16,
            run=RunConfig(name="reconstructor", runs=runs, seed=1),
        )
    )
    return runs / "reconstructor" / "reconstructor"


def rig_training(parts: Path, trained: Path, runs: Path, **data: object) -> RigTraining:
    """A small training; ``data`` replaces fields of the data's config."""
    values: dict = {"generator": str(parts / "generator"), "face_model": parts / "face.safetensors"} | data
    return RigTraining(
        data=RigDataConfig(portraits=parts / "set", reconstructor=trained, size=32, **values),
        network=RigNetworkConfig(components=16, rank=2),
        closed_form=ClosedFormConfig(background_components=3),
        cycle=CycleConfig(steps=2, pairs=2, requests=4),
        images=ImageCorrectionConfig(0),
        gains=GainCalibrationConfig(0),
        run=RigRunConfig(name="rig", runs=runs, preview_people=1, log_every=1, seed=1),
    )


def test_sizes_follow_the_generator_and_the_face_model(parts: Path, tmp_path: Path) -> None:
    trained = reconstructor(parts, tmp_path)
    train_rig(rig_training(parts, trained, tmp_path))
    engine = Engine.from_pretrained(tmp_path / "rig" / "engine")
    assert (engine.generator.num_ws, engine.resolution) == (8, 32)
    assert engine.face_model.name == "without units"
    own = engine.params(engine.sample(seed=3))
    assert own.vector().shape == (1, 7 + 5 + 6 + 27 + 3 + 3)
    assert engine.edit(engine.sample(seed=3), own).shape == (1, 32, 32, 3)
    for net in (engine.rig_net, engine.reconstructor):
        belongs = net.config.provenance
        assert belongs.generator_sha256 == open_generator(parts / "generator").fingerprint()
        assert belongs.face_model_sha256 == load_face_model(parts / "face.safetensors").fingerprint()
    assert json.loads((tmp_path / "rig" / "engine" / "reach.json").read_text())["expression"] == {}


def test_the_portraits_generator_is_asked_for(parts: Path, tmp_path: Path) -> None:
    trained = reconstructor(parts, tmp_path)
    with pytest.raises(CheckpointError, match="generator 'converted': neither a folder nor one of"):
        train_rig(rig_training(parts, trained, tmp_path, generator=""))
    save_generator(tmp_path / "other", untrained(1))
    with pytest.raises(CheckpointError, match="portrait set was trained for|portrait set"):
        train_rig(rig_training(parts, trained, tmp_path, generator=str(tmp_path / "other")))
    with pytest.raises(CheckpointError, match="parameters of 'without units'"):
        train_rig(rig_training(parts, trained, tmp_path, face_model=None))
