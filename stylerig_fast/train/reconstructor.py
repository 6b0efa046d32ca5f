"""Stage ``reconstructor``: trains F on portraits by rendering; no labels but landmarks found in the pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.evaluation.pose import PoseEstimator
from stylerig_fast.face import FFHQ_FOCAL, Camera, FaceModel
from stylerig_fast.face.rotation import matrix_to_axis_angle
from stylerig_fast.reconstruction import FaceReconstructor, ReconstructorConfig
from stylerig_fast.train.batches import batches, code_statistics
from stylerig_fast.train.grids import reconstruction_grid
from stylerig_fast.train.objective import Priors, PriorWeights, RenderObjective, RenderWeights
from stylerig_fast.train.optimise import make_optimiser, set_cosine_lr
from stylerig_fast.train.presets import with_preset
from stylerig_fast.train.run import Run, describe, progress
from stylerig_fast.train.setting import begin
from stylerig_fast.trained_for import TrainedFor

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
    with Run(config.runs / config.name, config, config.resume) as record:
        start = record.load_state(reconstructor, optimiser, draw)
        stream = batches(portraits, config.batch, draw, config.device)
        began, parts = time.perf_counter(), {}
        for step, bar in progress("reconstructor", start, config.steps):
            set_cosine_lr(optimiser, config.optimiser, config.lr, step, config.steps)
            batch = next(stream)
            noise = config.noise * torch.randn(batch.w.shape, generator=draw).to(config.device)
            params = reconstructor(batch.w, noise)
            parts = objective(params, batch.image, batch.landmarks, batch.detected) | priors(params)
            turn = params.blocks["rotation"] - poses[batch.index].to(config.device)
            parts["pose"] = config.pose * turn.square().sum(1) * batch.detected
            loss = torch.stack([part.mean() for part in parts.values()]).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if (step + 1) % config.log_every == 0:
                values = {name: float(part.detach().mean()) for name, part in parts.items()}
                record.log(step + 1, {"loss": float(loss.detach()), **values})
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
                "loss": {name: float(part.detach().mean()) for name, part in parts.items()},
            }
        )
    return reconstructor


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
