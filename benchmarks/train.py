"""``stylerig-bench train``: one optimiser step of each training stage, on made-up portraits in memory."""

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
from stylerig_fast.train.batches import gather, on_device
from stylerig_fast.train.captured import WARM_UP, Steps
from stylerig_fast.train.losses import RigLosses
from stylerig_fast.train.objective import Priors, PriorWeights, RenderObjective
from stylerig_fast.train.optimise import make_optimiser
from stylerig_fast.train.reconstructor import ReconstructorStep, ReconstructorTraining
from stylerig_fast.train.rig import RigTraining
from stylerig_fast.train.rig_step import RigStep

from . import machine
from .figures import figures
from .options import BenchOptions
from .report import FORMAT, finish
from .rounds import Plan, take_turns
from .session import Report, check_outputs

# Relative difference of the render loss and of its gradient between the compiled and the plain operations.
ALLOWED = 1e-4


@dataclass(kw_only=True)
class Train(BenchOptions):
    """Time of one training step of F and of RigNet, forward, backward and optimiser; the generator takes no part."""

    samples: int = 30
    """Steps of each stage, at least."""
    seconds: float = 5.0
    """Measured seconds of each stage, at least."""
    rounds: int = 5
    """Turns that each stage gets."""
    portraits: int = 64
    """Made-up portraits in memory."""
    pixels: int = 128
    """Pictures are compared at this many pixels."""
    slots: int = 16
    """Slots of W+."""
    components: int = 768
    """Of RigNet's subspace."""

    def run(self) -> None:
        check_outputs(self)
        device = self.where()
        load = machine.Load().begin()
        report: Report = {"format": FORMAT, "command": "train", "setting": machine.describe(device)}
        report["train"] = measure(self, device)
        report["load"] = load.end().as_dict()
        finish(report, self)


def measure(options: Train, device: torch.device) -> Report:
    """Rows of both stages."""
    torch.manual_seed(options.seed)
    model = open_face_model().to(device)
    portraits = made_up(options)
    steps = {
        "reconstructor": reconstructor_step(options, model, portraits, device),
        "rig": rig_step(options, model, portraits, device),
    }
    rows: list[dict[str, Any]] = []
    for name, step in steps.items():
        refused = f"parity failed: render loss differs by {step.parity:.1e}" if step.parity > ALLOWED else ""
        rows.append({"name": name, "pictures a step": step.pictures, "parity": step.parity, "refused": refused})
    racing = {row["name"]: steps[row["name"]].run for row in rows if not row["refused"]}
    # On a GPU a step is captured after the first ones.
    warm_up = WARM_UP + 2 if device.type == "cuda" else 2
    times = take_turns(racing, Plan(options.rounds, options.samples, options.seconds, warm_up=warm_up))
    for row in rows:
        if row["name"] in times:
            rounds = times[row["name"]]
            row["rounds"] = [[round(value, 4) for value in values] for values in rounds]
            row["figures"] = asdict(figures(rounds, options.seed))
    sizes = {"vertices": model.num_vertices, "triangles": len(model.triangles), "pixels": options.pixels}
    return {"rows": rows, "face model": model.name, **sizes}


@dataclass(frozen=True)
class Step:
    """A training step.

    Attributes:
        run: does it once.
        pictures: that are rendered and compared in it.
        parity: largest relative difference of its render loss, and of the loss's gradient, between the compiled and
            the plain operations.
    """

    run: Callable[[int], object]
    pictures: int
    parity: float


def made_up(options: Train) -> PortraitSet:
    """Random pictures, landmarks and codes: steps take as long with them as with real ones."""
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


def _untrained_reconstructor(options: Train, model: FaceModel) -> FaceReconstructor:
    return FaceReconstructor(ReconstructorConfig(options.slots, model.sizes, model.expression_names))


def reconstructor_step(options: Train, model: FaceModel, portraits: PortraitSet, device: torch.device) -> Step:
    """A step as ``train.reconstructor`` does it by default."""
    config = ReconstructorTraining(data=Path())
    network = _untrained_reconstructor(options, model).to(device)
    objective, priors = RenderObjective(model, Camera(config.focal), config.render), Priors(model, PriorWeights())
    optimiser = make_optimiser(network, config.optimiser, config.lr, config.weight_decay)
    there = on_device(portraits, device)
    work = ReconstructorStep(config, network, objective, priors, there, torch.zeros(len(portraits), 3))
    batch = gather(there, torch.arange(4, device=device))
    with torch.no_grad():
        params = network(batch.w)
    parity = render_parity(model, params, objective.camera, batch.image, batch.landmarks)
    return Step(_runner(work, optimiser, options.seed, device), config.batch, parity)


def rig_step(options: Train, model: FaceModel, portraits: PortraitSet, device: torch.device) -> Step:
    """A step as ``train.rig`` does it by default: pairs in both directions, and slider requests."""
    config = RigTraining(data=Path(), reconstructor=Path(), components=options.components)
    reconstructor = _untrained_reconstructor(options, model).eval().requires_grad_(False).to(device)
    rig: RigNet = build(RigConfig(options.slots, model.sizes, components=config.components, rank=config.rank)).to(
        device
    )
    size = options.slots * 512
    basis = torch.linalg.qr(torch.randn(size, config.components))[0].T.contiguous()
    space = LatentPCA(torch.zeros(size), basis, torch.ones(config.components)).to(device)
    price = torch.eye(config.components, device=device) / config.components
    losses = RigLosses(model, reconstructor, rig, space, price, config.render, config.weights)
    with torch.no_grad():
        own = reconstructor.vector(portraits.ws().to(device))
    optimiser = make_optimiser(rig, config.optimiser, config.lr, config.weight_decay)
    there = on_device(portraits, device)
    work = RigStep(losses, there, own, config.pairs, config.requests, config.siamese)
    batch = gather(there, torch.arange(4, device=device))
    params = FaceParams.from_vector(own[:4], model.sizes, model.expression_names)
    # Two directions, and two rendered losses for each control of a pair.
    pictures = 4 * config.pairs * len(config.controls)
    parity = render_parity(model, params, reconstructor.camera, batch.image, batch.landmarks)
    return Step(_runner(work, optimiser, options.seed, device), pictures, parity)


def _runner(
    work: ReconstructorStep | RigStep, optimiser: torch.optim.Optimizer, seed: int, device: torch.device
) -> Callable[[int], object]:
    """Steps as training does them, draws on the CPU included, each until the device is done with it."""
    steps, draw = Steps(partial(work, optimiser), device), torch.Generator().manual_seed(seed)

    def run(_: int) -> None:
        steps(work.draw(draw))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def render_parity(model: FaceModel, params: FaceParams, camera: Camera, image: Tensor, landmarks: Tensor) -> float:
    """See `Step.parity`."""
    results = []
    for impl in ("auto", "reference"):
        vector = params.vector().detach().requires_grad_()
        leaf = FaceParams.from_vector(vector, model.sizes, model.expression_names)
        weights = torch.ones(68, device=vector.device)
        loss = render_loss(model, leaf, camera, image, landmarks, weights, impl=impl)
        total = loss.photometric.sum() + loss.landmarks.sum()
        results.append((total.detach(), torch.autograd.grad(total, vector)[0]))
    return max(
        float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30))
        for found, wanted in zip(*results, strict=True)
    )
