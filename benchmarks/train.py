"""``stylerig-bench train``: one optimiser step of each training stage, on made-up portraits in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstruction import FaceReconstructor, ReconstructorConfig
from stylerig_fast.render import render_loss
from stylerig_fast.rignet import RigConfig, RigNet, build
from stylerig_fast.train.batches import gather
from stylerig_fast.train.codespace import CodeSpace
from stylerig_fast.train.losses import RigLosses
from stylerig_fast.train.objective import Priors, PriorWeights, RenderObjective
from stylerig_fast.train.optimise import make_optimiser
from stylerig_fast.train.reconstructor import ReconstructorTraining
from stylerig_fast.train.rig import RigTraining

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
    times = take_turns(racing, Plan(options.rounds, options.samples, options.seconds, warm_up=2))
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
    draw = torch.Generator().manual_seed(options.seed)

    def step(_: int) -> None:
        batch = gather(portraits, torch.randint(len(portraits), (config.batch,), generator=draw), device)
        params = network(batch.w, config.noise * torch.randn(batch.w.shape, generator=draw).to(device))
        parts = objective(params, batch.image, batch.landmarks, batch.detected) | priors(params)
        _descend(optimiser, torch.stack([part.mean() for part in parts.values()]).sum(), device)

    with torch.no_grad():
        batch = gather(portraits, torch.arange(4), device)
        params = network(batch.w)
    return Step(step, config.batch, render_parity(model, params, objective.camera, batch.image, batch.landmarks))


def rig_step(options: Train, model: FaceModel, portraits: PortraitSet, device: torch.device) -> Step:
    """A step as ``train.rig`` does it by default: pairs in both directions, and slider requests."""
    config = RigTraining(data=Path(), reconstructor=Path(), components=options.components)
    reconstructor = _untrained_reconstructor(options, model).eval().requires_grad_(False).to(device)
    rig: RigNet = build(RigConfig(options.slots, model.sizes, components=config.components, rank=config.rank)).to(
        device
    )
    size = options.slots * 512
    basis = torch.linalg.qr(torch.randn(size, config.components))[0].T.contiguous()
    space = CodeSpace(torch.zeros(size), basis, torch.ones(config.components)).to(device)
    price = torch.eye(config.components, device=device) / config.components
    losses = RigLosses(model, reconstructor, rig, space, price, config.render, config.weights)
    with torch.no_grad():
        own = reconstructor.vector(portraits.ws().to(device))
    optimiser = make_optimiser(rig, config.optimiser, config.lr, config.weight_decay)
    draw = torch.Generator().manual_seed(options.seed)

    def step(_: int) -> None:
        index = torch.randint(len(portraits), (2, config.pairs), generator=draw)
        first, second = (gather(portraits, rows, device) for rows in index)
        parts = losses.pairs(first, second, own[index[0]], own[index[1]])
        swapped = losses.pairs(second, first, own[index[1]], own[index[0]])
        parts = {name: (parts[name] + swapped[name]) / 2 for name in parts}
        chosen = torch.randint(len(portraits), (config.requests,), generator=draw)
        parts |= losses.requests(portraits.ws(chosen).to(device), own[chosen], draw)
        _descend(optimiser, torch.stack(list(parts.values())).sum(), device)

    batch = gather(portraits, torch.arange(4), device)
    params = FaceParams.from_vector(own[:4], model.sizes, model.expression_names)
    # Two directions, and two rendered losses for each control of a pair.
    pictures = 4 * config.pairs * len(config.controls)
    return Step(step, pictures, render_parity(model, params, reconstructor.camera, batch.image, batch.landmarks))


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, device: torch.device) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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
