"""Run on the pretended device by test_pretended_cuda.py: both training stages, their steps captured."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.data.sampling import SetConfig, sample_set
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.generators.stylegan2 import StyleGAN2
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigConfig, build
from stylerig_fast.train import batch, reconstructor
from stylerig_fast.train.config import CycleConfig, PortraitConfig, ReconstructorTraining
from stylerig_fast.train.loop import make_optimiser, set_cosine_lr
from stylerig_fast.train.reconstructor import ReconstructorStep, new_reconstructor
from stylerig_fast.train.render_objective import Priors, RenderObjective
from stylerig_fast.train.rig import train
from stylerig_fast.train.rig.dataset_statistics import reconstruct_all
from stylerig_fast.train.rig.losses import RigLosses
from stylerig_fast.train.rig.step import RigStep
from stylerig_fast.train.run_folder import RunFolder
from stylerig_fast.train.step_runner import WARM_UP, StepRunner, UploadBuffer
from tests.data.test_sampling import TinyDetector
from tests.train.rig.test_train import training as rig_config
from tests.train.test_reconstructor import config as reconstructor_config

from .waits import Refused, counted

CUDA = torch.device("cuda", 0)
# Enough to be captured and replayed a few times.
STEPS = WARM_UP + 4


class Training:
    """A network in training on the device, step by step."""

    def __init__(self, network: nn.Module, work: Any, optimiser: str, capture: bool) -> None:
        self.network, self.work, self.name = network, work, optimiser
        self.optimiser = make_optimiser(network, optimiser, 1e-2, 1e-2)
        self.steps = StepRunner(partial(work, self.optimiser), CUDA, capture)
        self.draw = torch.Generator().manual_seed(3)

    def run(self, steps: int = STEPS) -> list[dict[str, float]]:
        """The loss parts of every step."""
        found = []
        for step in range(steps):
            set_cosine_lr(self.optimiser, self.name, 1e-2, step, steps)
            parts = self.steps(self.work.draw(self.draw))
            found.append({name: float(value) for name, value in parts.items()})
        return found


def train_f(portraits: PortraitSet, model: FaceModel, optimiser: str = "adamw", capture: bool = True) -> Training:
    torch.manual_seed(0)
    config = ReconstructorTraining(data=PortraitConfig(portraits=Path()), batch=4)
    there, moved = batch.on_device(portraits, CUDA), model.to(CUDA)
    network = new_reconstructor(model, portraits, 16, config.focal).to(CUDA)
    objective, priors = RenderObjective(moved, Camera(config.focal), config.render), Priors(moved, config.priors)
    poses = 0.1 * torch.randn(len(portraits), 3)
    return Training(network, ReconstructorStep(config, network, objective, priors, there, poses), optimiser, capture)


def train_rig(portraits: PortraitSet, model: FaceModel, optimiser: str = "adamw", capture: bool = True) -> Training:
    torch.manual_seed(0)
    config = CycleConfig(pairs=2, requests=3)
    there, moved = batch.on_device(portraits, CUDA), model.to(CUDA)
    f = new_reconstructor(model, portraits, 16, 4.26).eval().requires_grad_(False).to(CUDA)
    network = build(RigConfig(portraits.num_ws, model.sizes, components=8, rank=2)).to(CUDA)
    space = LatentPCA.fit(portraits, 8).to(CUDA)
    losses = RigLosses(moved, f, network, space, torch.eye(8).to(CUDA), config.render, config.weights)
    source = reconstruct_all(f, portraits, CUDA)
    return Training(network, RigStep(config, losses, there, source), optimiser, capture)


TRAININGS = {"reconstructor": train_f, "rig": train_rig}


@pytest.fixture(scope="module")
def portraits(world: Path) -> PortraitSet:
    return PortraitSet.load(world, size=16, shards="train")


@pytest.mark.parametrize("optimiser", ["adamw", "adadelta"])
@pytest.mark.parametrize("start", TRAININGS.values(), ids=TRAININGS)
def test_a_captured_training_is_the_uncaptured_one(
    start: Callable[..., Training],
    optimiser: str,
    portraits: PortraitSet,
    face_model: FaceModel,
) -> None:
    captured, plain = (start(portraits, face_model, optimiser, capture) for capture in (True, False))
    before = copy.deepcopy(plain.network.state_dict())
    found, wanted = captured.run(), plain.run()
    assert found == wanted
    assert len({step["loss"] for step in found}) == STEPS
    assert captured.steps._graph is not None and plain.steps._graph is None
    changed = 0
    for name, value in plain.network.state_dict().items():
        assert torch.equal(captured.network.state_dict()[name], value), name
        changed += not torch.equal(value, before[name])
    assert changed >= 3


@pytest.mark.parametrize("kept", ["pictures on the device", "pictures on the CPU"])
@pytest.mark.parametrize("start", TRAININGS.values(), ids=TRAININGS)
def test_no_step_waits(
    start: Callable[..., Training],
    kept: str,
    portraits: PortraitSet,
    face_model: FaceModel,
    monkeypatch: Any,
) -> None:
    if kept == "pictures on the CPU":
        monkeypatch.setattr(batch, "LARGEST_SHARE", 0.0)
    training = start(portraits, face_model)
    assert training.work.portraits.images.is_cuda == (kept == "pictures on the device")
    training.run(1)  # makes the optimiser's state, and what is made once for a mesh
    counts: list[Counter[str]] = []
    for _ in range(STEPS):
        set_cosine_lr(training.optimiser, "adamw", 1e-2, 1, STEPS)
        with counted() as waits:
            training.steps(training.work.draw(training.draw))
        counts.append(waits)
    capture = Counter(
        {
            'stylerig_fast/train/step_runner.py: with torch.cuda.graph(graph, capture_error_mode="thread_local"): '
            "(synchronize)": 1
        }
    )
    # One of the steps is captured, which waits once; the others never do.
    assert counts == [Counter()] * (WARM_UP - 1) + [capture] + [Counter()] * (STEPS - WARM_UP)


def test_where_the_pictures_are_changes_nothing(
    portraits: PortraitSet,
    face_model: FaceModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    resident = [start(portraits, face_model).run(2) for start in TRAININGS.values()]
    assert not caplog.records
    monkeypatch.setattr(batch, "LARGEST_SHARE", 0.0)
    assert [start(portraits, face_model).run(2) for start in TRAININGS.values()] == resident
    assert "every step uploads its own" in caplog.text


def test_a_set_is_drawn_by_the_compiled_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    small = StyleGAN2(channels=(8,) * 4, mapping_layers=1, name="small").eval().requires_grad_(False)
    there = copy.deepcopy(small).to(CUDA)
    config = SetConfig("small", count=3, size=16, seed=1)
    (wanted,) = sample_set(tmp_path / "cpu", config, small, TinyDetector())
    monkeypatch.setattr(there, "synthesis", lambda *_: pytest.fail("drawn by the plain module"))
    (found,) = sample_set(tmp_path / "cuda", config, there, TinyDetector())
    sets = [PortraitSet.load(path, size=16) for path in (found, wanted)]
    assert torch.equal(sets[0].ws(), sets[1].ws())
    assert (sets[0].images.float() - sets[1].images.float()).abs().mean() < 1


def test_work_that_waits_is_not_captured() -> None:
    steps = StepRunner(lambda x: {"loss": x[x > 0].sum()}, CUDA)
    for _ in range(WARM_UP):
        steps({"x": torch.ones(3)})
    with pytest.raises(Refused, match=r"boolean index"):
        steps({"x": torch.ones(3)})


def test_uploads_are_one_copy_and_of_one_shape() -> None:
    given = {"a": torch.arange(3), "b": torch.rand(2, 5), "c": torch.tensor([True]), "d": torch.zeros(0, 4)}
    uploads = UploadBuffer(given, CUDA)
    with counted() as waits:
        uploads.fill(given)
    assert not waits
    for name, value in given.items():
        assert torch.equal(uploads.tensors[name].cpu(), value)
    with pytest.raises(ValueError, match="the steps before it"):
        uploads.fill({**given, "a": torch.arange(4)})


def test_both_stages_from_their_commands_and_back_from_a_state(
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options: dict[str, Any] = {"device": "cuda", "size": 16, "log_every": 4, "save_every": 5}
    whole = reconstructor.run(reconstructor_config(world, tmp_path, steps=10, name="whole", **options))
    assert whole.w_mean.is_cuda
    folder = tmp_path / "whole" / "reconstructor"
    assert FaceReconstructor.from_pretrained(folder).w_mean.device.type == "cpu"

    class Stop(Exception):
        pass

    save = RunFolder.save_state

    def save_and_stop(self: Any, step: int, *rest: Any) -> None:
        save(self, step, *rest)
        raise Stop

    monkeypatch.setattr(RunFolder, "save_state", save_and_stop)
    with pytest.raises(Stop):
        reconstructor.run(reconstructor_config(world, tmp_path, steps=10, name="halves", **options))
    monkeypatch.setattr(RunFolder, "save_state", save)
    halves = reconstructor.run(reconstructor_config(world, tmp_path, steps=10, name="halves", resume=True, **options))
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(halves.state_dict()[name], value, msg=name)
    trained = train.run(rig_config(world, folder, tmp_path, steps=6, people=8, **options))
    assert trained.gain.is_cuda
