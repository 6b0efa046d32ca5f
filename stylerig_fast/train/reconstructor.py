"""Stage ``reconstructor``: trains F on portraits by rendering; its only labels are detected landmarks."""

from __future__ import annotations

import time
from functools import partial

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.rotation import matrix_to_axis_angle
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.provenance import Provenance
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.train.batch import code_statistics, gather, on_device, pictures_to_upload
from stylerig_fast.train.config import ReconstructorTraining, with_preset
from stylerig_fast.train.loop import begin, descend, describe, make_optimiser, progress, set_cosine_lr
from stylerig_fast.train.previews import reconstruction_grid
from stylerig_fast.train.render_objective import Priors, RenderObjective
from stylerig_fast.train.run_folder import RunFolder
from stylerig_fast.train.step_runner import LossTerms, StepRunner


def run(config: ReconstructorTraining) -> FaceReconstructor:
    """Trains F and writes ``runs/<name>/reconstructor``; returns it in eval mode.

    Raises:
        CheckpointError: the run's folder holds another run.
        DataError: the portraits could not be read.
    """
    config = with_preset(config)
    model, portraits = begin(config.data, config.run)
    reconstructor = new_reconstructor(model, portraits, config.hidden, config.focal).to(config.run.device)
    objective = RenderObjective(model, Camera(config.focal), config.render)
    priors = Priors(model, config.priors)
    # Shape and expression can imitate a small turn. A fit with a symmetric shape tells them apart.
    poses = matrix_to_axis_angle(PoseEstimator(model, objective.camera).fit(portraits.landmarks).rotation).float()
    draw = torch.Generator().manual_seed(config.run.seed)
    optimiser = make_optimiser(reconstructor, config.optimiser, config.lr, config.weight_decay)
    step = ReconstructorStep(config, reconstructor, objective, priors, on_device(portraits, config.run.device), poses)
    run_step = StepRunner(partial(step, optimiser), config.run.device, config.run.capture)
    with RunFolder(config) as record:
        start = record.load_state(reconstructor, optimiser, draw)
        began, terms = time.perf_counter(), {}
        for index, bar in progress("reconstructor", start, config.steps):
            set_cosine_lr(optimiser, config.optimiser, config.lr, index, config.steps)
            terms = run_step(step.draw(draw))
            done = index + 1
            if done % config.run.log_every == 0:
                values = {name: float(term) for name, term in terms.items()}
                record.log(done, values)
                describe(bar, "reconstructor", {name: values[name] for name in ("photometric", "landmarks")})
            if done % config.run.save_every == 0 or done == config.steps:
                record.save_state(done, reconstructor, optimiser, draw)
                grid = reconstruction_grid(model, reconstructor, portraits, torch.arange(min(8, len(portraits))))
                record.picture("portrait, model, overlay", grid, done)
        reconstructor.eval().requires_grad_(False)
        reconstructor.save_pretrained(record.folder / "reconstructor")
        record.write_metrics(
            {
                "portraits": len(portraits),
                "seconds": time.perf_counter() - began,
                "loss": {name: float(term) for name, term in terms.items() if name != "loss"},
            }
        )
    return reconstructor


class ReconstructorStep:
    """One step of training F: `draw` on the CPU, and the call that a `StepRunner` runs on the training device."""

    def __init__(
        self,
        config: ReconstructorTraining,
        reconstructor: FaceReconstructor,
        objective: RenderObjective,
        priors: Priors,
        portraits: PortraitSet,
        poses: Tensor,
    ) -> None:
        """Takes what all steps share.

        Args:
            config: of the training.
            reconstructor: in training, on the training device.
            objective: compares rendered faces with the portraits.
            priors: regularise the parameters.
            portraits: of `on_device`.
            poses: ``(N, 3)`` axis-angle of the portraits, fitted to the landmarks alone.
        """
        self.config, self.reconstructor, self.objective, self.priors = config, reconstructor, objective, priors
        self.portraits, self.poses = portraits, poses.to(portraits.w_a.device)

    def draw(self, draw: torch.Generator) -> dict[str, Tensor]:
        """The portraits and the noise of a step, drawn on the CPU, so that every device gets the same."""
        index = torch.randint(len(self.portraits), (self.config.batch,), generator=draw)
        shape = self.config.batch, self.portraits.num_ws, self.portraits.w_a.shape[1]
        noise = self.config.noise * torch.randn(shape, generator=draw)
        return {"index": index, "noise": noise, **pictures_to_upload(self.portraits, index)}

    def __call__(
        self, optimiser: torch.optim.Optimizer, index: Tensor, noise: Tensor, images: Tensor | None = None
    ) -> LossTerms:
        """Forward, backward, optimiser; means of the loss terms over the batch, and their sum."""
        batch = gather(self.portraits, index, images)
        params = self.reconstructor(batch.w, noise)
        terms = self.objective(params, batch.image, batch.landmarks, batch.detected) | self.priors(params)
        error = params.blocks["rotation"] - self.poses[index]
        terms["pose"] = self.config.pose * error.square().sum(1) * batch.detected
        return descend(optimiser, {name: term.mean() for name, term in terms.items()})


def new_reconstructor(model: FaceModel, portraits: PortraitSet, hidden: int, focal: float) -> FaceReconstructor:
    """An untrained F with the statistics of the training codes."""
    config = ReconstructorConfig(
        num_ws=portraits.num_ws,
        sizes=model.sizes,
        expression_names=model.expression_names,
        focal=focal,
        hidden=hidden,
        provenance=Provenance(portraits.generator, portraits.generator_sha256, model.name, model.fingerprint()),
    )
    reconstructor = FaceReconstructor(config)
    mean, std = code_statistics(portraits)
    reconstructor.set_statistics(mean, std)
    return reconstructor
