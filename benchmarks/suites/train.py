"""``stylerig-bench train``: one optimiser step of each training stage, on random portraits in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.render import render_loss
from stylerig_fast.rignet import RigConfig, RigNet, build
from stylerig_fast.train.batch import gather, on_device
from stylerig_fast.train.config import (
    PortraitConfig,
    PriorWeights,
    ReconstructorTraining,
    RigDataConfig,
    RigNetworkConfig,
    RigTraining,
)
from stylerig_fast.train.loop import make_optimiser
from stylerig_fast.train.reconstructor import ReconstructorStep
from stylerig_fast.train.render_objective import Priors, RenderObjective
from stylerig_fast.train.rig.losses import RigLosses
from stylerig_fast.train.rig.step import RigStep
from stylerig_fast.train.step_runner import WARM_UP, StepRunner

from ..harness.interleave import TimingPlan, interleave
from ..harness.latency_stats import latency_stats
from ..harness.options import BenchOptions
from ..report.output import check_outputs, write_outputs
from .session import Report, recorded

# Allowed relative difference of the render loss and of its gradient between the compiled and the plain operations.
LARGEST_DIFFERENCE = 1e-4


@dataclass(kw_only=True)
class TrainBenchmark(BenchOptions):
    """Time of one training step of F and of RigNet: forward, backward and optimiser. The generator takes no part."""

    samples: int = 30
    """Steps of each stage, at least."""
    seconds: float = 5.0
    """Measured seconds of each stage, at least."""
    rounds: int = 5
    """Rounds in which the stages take turns."""
    portraits: int = 64
    """Random portraits in memory."""
    pixels: int = 128
    """Height of the portraits in pixels."""
    slots: int = 16
    """Slots of W+."""
    components: int = 768
    """Dimensions of RigNet's subspace."""

    def run(self) -> None:
        check_outputs(self)
        device = self.where()
        with recorded("train", device) as report:
            report["train"] = measure(self, device)
        write_outputs(report, self)


def measure(options: TrainBenchmark, device: torch.device) -> Report:
    """Rows of both training stages."""
    torch.manual_seed(options.seed)
    model = open_face_model().to(device)
    portraits = random_portraits(options)
    steps = {
        "reconstructor": reconstructor_step(options, model, portraits, device),
        "rig": rig_step(options, model, portraits, device),
    }
    rows: list[dict[str, Any]] = []
    for name, step in steps.items():
        refused = f"parity failed: render loss differs by {step.parity:.1e}" if step.parity > LARGEST_DIFFERENCE else ""
        rows.append({"name": name, "pictures a step": step.pictures, "parity": step.parity, "refused": refused})
    passed = {row["name"]: steps[row["name"]].run for row in rows if not row["refused"]}
    # On a GPU the first steps end with the capture of a graph.
    warm_up = WARM_UP + 2 if device.type == "cuda" else 2
    times = interleave(passed, TimingPlan(options.rounds, options.samples, options.seconds, warm_up=warm_up))
    for row in rows:
        if row["name"] in times:
            rounds = times[row["name"]]
            row["rounds"] = [[round(value, 4) for value in values] for values in rounds]
            row["figures"] = asdict(latency_stats(rounds, options.seed))
    sizes = {"vertices": model.num_vertices, "triangles": len(model.triangles), "pixels": options.pixels}
    return {"rows": rows, "face model": model.name, **sizes}


@dataclass(frozen=True)
class TrainingStep:
    """A training step.

    Attributes:
        run: takes the step once.
        pictures: number of pictures that it renders and compares.
        parity: largest relative difference of its render loss, and of the loss's gradient, between the compiled and
            the plain operations.
    """

    run: Callable[[int], object]
    pictures: int
    parity: float


def random_portraits(options: TrainBenchmark) -> PortraitSet:
    """Random pictures, landmarks and codes: a step takes as long with them as with real ones."""
    draw = torch.Generator().manual_seed(options.seed)
    n, side = options.portraits, options.pixels
    return PortraitSet(
        images=torch.randint(256, (n, 3, side, side), generator=draw, dtype=torch.uint8),
        landmarks=torch.rand(n, 68, 2, generator=draw),
        detected=torch.ones(n, dtype=torch.bool),
        w_a=torch.randn(n, 512, generator=draw),
        w_b=torch.randn(n, 512, generator=draw),
        mix=torch.rand(n, options.slots, generator=draw),
    )


def _untrained_reconstructor(options: TrainBenchmark, model: FaceModel) -> FaceReconstructor:
    return FaceReconstructor(ReconstructorConfig(options.slots, model.sizes, model.expression_names))


def reconstructor_step(
    options: TrainBenchmark, model: FaceModel, portraits: PortraitSet, device: torch.device
) -> TrainingStep:
    """A step of reconstructor training with its default options.

    Args:
        options: of the benchmark.
        model: face model, on the device.
        portraits: on any device.
        device: of the step.
    """
    config = ReconstructorTraining(data=PortraitConfig(portraits=Path()))
    network = _untrained_reconstructor(options, model).to(device)
    objective, priors = RenderObjective(model, Camera(config.focal), config.render), Priors(model, PriorWeights())
    optimiser = make_optimiser(network, config.optimiser, config.lr, config.weight_decay)
    on_this_device = on_device(portraits, device)
    training_step = ReconstructorStep(
        config, network, objective, priors, on_this_device, torch.zeros(len(portraits), 3)
    )
    batch = gather(on_this_device, torch.arange(4, device=device))
    with torch.no_grad():
        params = network(batch.w)
    parity = render_parity(model, params, objective.camera, batch.image, batch.landmarks)
    return TrainingStep(_runner(training_step, optimiser, options.seed, device), config.batch, parity)


def rig_step(options: TrainBenchmark, model: FaceModel, portraits: PortraitSet, device: torch.device) -> TrainingStep:
    """A step of rig training with its default options: pairs in both directions, and slider requests.

    Args:
        options: of the benchmark.
        model: face model, on the device.
        portraits: on any device.
        device: of the step.
    """
    data = RigDataConfig(portraits=Path(), reconstructor=Path())
    config = RigTraining(data=data, network=RigNetworkConfig(components=options.components))
    network, cycle = config.network, config.cycle
    reconstructor = _untrained_reconstructor(options, model).eval().requires_grad_(False).to(device)
    rig: RigNet = build(RigConfig(options.slots, model.sizes, components=network.components, rank=network.rank)).to(
        device
    )
    size = options.slots * 512
    basis = torch.linalg.qr(torch.randn(size, network.components))[0].T.contiguous()
    space = LatentPCA(torch.zeros(size), basis, torch.ones(network.components)).to(device)
    side_effect_penalty = torch.eye(network.components, device=device) / network.components
    losses = RigLosses(model, reconstructor, rig, space, side_effect_penalty, cycle.render, cycle.weights)
    with torch.no_grad():
        source = reconstructor.vector(portraits.ws().to(device))
    optimiser = make_optimiser(rig, cycle.optimiser, cycle.lr, cycle.weight_decay)
    on_this_device = on_device(portraits, device)
    training_step = RigStep(cycle, losses, on_this_device, source)
    batch = gather(on_this_device, torch.arange(4, device=device))
    params = FaceParams.from_vector(source[:4], model.sizes, model.expression_names)
    # Two directions, and two rendered losses for each control of a pair.
    pictures = 4 * cycle.pairs * len(network.controls)
    parity = render_parity(model, params, reconstructor.camera, batch.image, batch.landmarks)
    return TrainingStep(_runner(training_step, optimiser, options.seed, device), pictures, parity)


def _runner(
    step: ReconstructorStep | RigStep, optimiser: torch.optim.Optimizer, seed: int, device: torch.device
) -> Callable[[int], object]:
    """Steps as training takes them, random draws on the CPU included; each returns when the device is done."""
    steps, draw = StepRunner(partial(step, optimiser), device), torch.Generator().manual_seed(seed)

    def run(_: int) -> None:
        steps(step.draw(draw))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def render_parity(model: FaceModel, params: FaceParams, camera: Camera, image: Tensor, landmarks: Tensor) -> float:
    """See `TrainingStep.parity`.

    Args:
        model: face model.
        params: of the pictures.
        camera: of the pictures.
        image: ``(B, 3, H, W)``, uint8 or in [0, 1].
        landmarks: ``(B, 68, 2)``.
    """
    results = []
    for impl in ("auto", "reference"):
        vector = params.vector().detach().requires_grad_()
        leaf = FaceParams.from_vector(vector, model.sizes, model.expression_names)
        weights = torch.ones(68, device=vector.device)
        loss = render_loss(model, leaf, camera, image, landmarks, weights, impl=impl)
        total = loss.photometric.sum() + loss.landmarks.sum()
        results.append((total.detach(), torch.autograd.grad(total, vector)[0]))
    return max(
        float((compiled - plain).abs().max() / plain.abs().max().clamp_min(1e-30))
        for compiled, plain in zip(*results, strict=True)
    )
