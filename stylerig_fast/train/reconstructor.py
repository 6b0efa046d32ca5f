"""Stage ``reconstructor``: trains F on portraits by rendering; no labels but landmarks found in the pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FFHQ_FOCAL, Camera, FaceModel
from stylerig_fast.face.rotation import matrix_to_axis_angle
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.provenance import TrainedFor
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.train.batches import code_statistics, gather, on_device, pictures
from stylerig_fast.train.captured import Parts, Steps
from stylerig_fast.train.grids import reconstruction_grid
from stylerig_fast.train.objective import Priors, PriorWeights, RenderObjective, RenderWeights
from stylerig_fast.train.optimise import descend, make_optimiser, set_cosine_lr
from stylerig_fast.train.presets import with_preset
from stylerig_fast.train.run import Run, describe, progress
from stylerig_fast.train.setting import begin

# The paper's settings where ours differ; what it does not state stays as it is.
PAPER = {"optimiser": "adadelta", "lr": 0.01, "noise": 0.0, "weight_decay": 0.0, "pose": 0.0}


@dataclass(frozen=True)
class ReconstructorTraining:
    """Train the face reconstruction network F."""

    data: Path  # folder of portrait shards; the last one is held out
    preset: Literal["default", "paper"] = "default"  # paper: the paper's settings for what is not set here
    name: str = "reconstructor"  # the run is written to runs/<name>
    runs: Path = Path("runs")  # folder of runs
    face_model: Path | None = None  # a face model file; the open face model by default
    size: int = 128  # pictures are compared at this many pixels
    limit: int | None = None  # use only so many portraits
    steps: int = 3500  # optimiser steps
    batch: int = 32  # portraits per step
    optimiser: Literal["adamw", "adadelta"] = "adamw"  # adadelta is the paper's
    lr: float = 5e-4  # peak learning rate; cosine to zero for adamw, constant for adadelta
    weight_decay: float = 1e-2  # adamw's
    noise: float = 0.7  # deviation of the noise on the standardised code
    hidden: int = 512  # width of the two hidden layers
    focal: float = FFHQ_FOCAL  # camera, image widths
    pose: float = 1.0  # weight of the squared distance, radians, to the pose fitted to the landmarks alone
    render: RenderWeights = field(default_factory=RenderWeights)
    priors: PriorWeights = field(default_factory=PriorWeights)
    seed: int = 0  # of every random draw
    device: str = "cpu"  # cpu or cuda
    capture: bool = True  # cuda: replay each step from one CUDA graph
    threads: int = 0  # CPU threads; 0 leaves torch's default
    log_every: int = 50  # steps between TensorBoard entries
    save_every: int = 1000  # steps between states to resume from and picture grids
    resume: bool = False  # go on with a run of the same name


def run(config: ReconstructorTraining) -> FaceReconstructor:
    """Trains F and writes ``runs/<name>/reconstructor``; returns it in eval mode."""
    if config.preset == "paper":
        config = with_preset(config, PAPER)
    model, portraits = begin(config)
    reconstructor = new_reconstructor(model, portraits, config.hidden, config.focal).to(config.device)
    objective = RenderObjective(model, Camera(config.focal), config.render)
    priors = Priors(model, config.priors)
    # Shape and expression can imitate a small turn. A fit with a symmetric shape tells them apart.
    poses = matrix_to_axis_angle(PoseEstimator(model, objective.camera).fit(portraits.landmarks).rotation).float()
    draw = torch.Generator().manual_seed(config.seed)
    optimiser = make_optimiser(reconstructor, config.optimiser, config.lr, config.weight_decay)
    work = ReconstructorStep(config, reconstructor, objective, priors, on_device(portraits, config.device), poses)
    steps = Steps(partial(work, optimiser), config.device, config.capture)
    with Run(config.runs / config.name, config, config.resume) as record:
        start = record.load_state(reconstructor, optimiser, draw)
        began, parts = time.perf_counter(), {}
        for step, bar in progress("reconstructor", start, config.steps):
            set_cosine_lr(optimiser, config.optimiser, config.lr, step, config.steps)
            parts = steps(work.draw(draw))
            if (step + 1) % config.log_every == 0:
                values = {name: float(part) for name, part in parts.items()}
                record.log(step + 1, values)
                describe(bar, "reconstructor", {k: values[k] for k in ("photometric", "landmarks")})
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                record.save_state(step + 1, reconstructor, optimiser, draw)
                grid = reconstruction_grid(model, reconstructor, portraits, torch.arange(min(8, len(portraits))))
                record.picture("portrait, model, overlay", grid, step + 1)
        reconstructor.eval().requires_grad_(False)
        reconstructor.save_pretrained(record.folder / "reconstructor")
        record.write_metrics(
            {
                "portraits": len(portraits),
                "seconds": time.perf_counter() - began,
                "loss": {name: float(part) for name, part in parts.items() if name != "loss"},
            }
        )
    return reconstructor


class ReconstructorStep:
    """One step of training F: `draw` on the CPU, and the work for `Steps`."""

    def __init__(
        self,
        config: ReconstructorTraining,
        reconstructor: FaceReconstructor,
        objective: RenderObjective,
        priors: Priors,
        portraits: PortraitSet,
        poses: Tensor,
    ) -> None:
        """Takes what steps share.

        Args:
            config: of the training.
            reconstructor: in training, on the training device.
            objective: of the pictures. priors: of the parameters.
            portraits: of `on_device`.
            poses: ``(N, 3)`` axis-angle of the portraits, fitted to the landmarks alone.
        """
        self.config, self.reconstructor, self.objective, self.priors = config, reconstructor, objective, priors
        self.portraits, self.poses = portraits, poses.to(portraits.w_a.device)

    def draw(self, draw: torch.Generator) -> dict[str, Tensor]:
        """The portraits and the noise of a step, on the CPU, so that every device sees the same."""
        index = torch.randint(len(self.portraits), (self.config.batch,), generator=draw)
        shape = self.config.batch, self.portraits.num_ws, self.portraits.w_a.shape[1]
        noise = self.config.noise * torch.randn(shape, generator=draw)
        return {"index": index, "noise": noise, **pictures(self.portraits, index)}

    def __call__(
        self, optimiser: torch.optim.Optimizer, index: Tensor, noise: Tensor, images: Tensor | None = None
    ) -> Parts:
        """Forward, backward, optimiser; means of the loss parts over the batch, and their sum."""
        batch = gather(self.portraits, index, images)
        params = self.reconstructor(batch.w, noise)
        parts = self.objective(params, batch.image, batch.landmarks, batch.detected) | self.priors(params)
        turn = params.blocks["rotation"] - self.poses[index]
        parts["pose"] = self.config.pose * turn.square().sum(1) * batch.detected
        return descend(optimiser, {name: part.mean() for name, part in parts.items()})


def new_reconstructor(model: FaceModel, portraits: PortraitSet, hidden: int, focal: float) -> FaceReconstructor:
    """An untrained F with the statistics of the training codes."""
    config = ReconstructorConfig(
        num_ws=portraits.num_ws,
        sizes=model.sizes,
        expression_names=model.expression_names,
        focal=focal,
        hidden=hidden,
        trained_for=TrainedFor(portraits.generator, portraits.generator_sha256, model.name, model.fingerprint()),
    )
    reconstructor = FaceReconstructor(config)
    mean, std = code_statistics(portraits)
    reconstructor.set_statistics(mean, std)
    return reconstructor
