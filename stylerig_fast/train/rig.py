"""Stage ``rig``: trains RigNet against a frozen F by two-way cycle consistency (Tewari et al. 2020, section 4.4)."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.edits import choose_people
from stylerig_fast.evaluation.judge import Judge
from stylerig_fast.face import FaceModel
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.params import BLOCKS, FaceParams
from stylerig_fast.reconstruction import FaceReconstructor
from stylerig_fast.rignet import Form, RigConfig, RigNet, SubspaceRigNet, build, control_columns
from stylerig_fast.train.batches import Batch, gather
from stylerig_fast.train.calibrate import calibrate
from stylerig_fast.train.codespace import CodeSpace
from stylerig_fast.train.context import principal, surroundings, surroundings_map
from stylerig_fast.train.directions import LinearWorld
from stylerig_fast.train.grids import edit_grid
from stylerig_fast.train.initialise import initialise
from stylerig_fast.train.objective import RenderObjective, RenderWeights
from stylerig_fast.train.observed import observe
from stylerig_fast.train.optimise import make_optimiser, set_cosine_lr
from stylerig_fast.train.pack import pack
from stylerig_fast.train.personal import answer_personally
from stylerig_fast.train.presets import with_preset
from stylerig_fast.train.requests import SurfaceObjective, draw_requests
from stylerig_fast.train.run import Run, describe, progress
from stylerig_fast.train.setting import begin
from stylerig_fast.train.weights import DirectionWeights, RigWeights
from stylerig_fast.trained_for import TrainedFor

# The paper's settings where ours differ; what it does not state stays as it is.
PAPER = {
    "form": "linear",
    "start": "zero",
    "optimiser": "adadelta",
    "lr": 0.01,
    "requests": 0,
    "people": 0,
    "calibrate": 0,
    "weights": RigWeights(price=0.0),
}


@dataclass(frozen=True)
class RigTraining:
    """Train RigNet against a trained F."""

    data: Path  # folder of portrait shards; the last one is held out
    reconstructor: Path  # folder of the trained F
    preset: Literal["default", "paper"] = "default"  # paper: the paper's settings for what is not set here
    name: str = "rig"  # the run is written to runs/<name>
    runs: Path = Path("runs")  # folder of runs
    face_model: Path | None = None  # a face model file; the open face model by default
    controls: tuple[Literal["pose", "expression", "illumination"], ...] = ("pose", "expression", "illumination")
    form: Form = "subspace"  # form of RigNet; linear is the paper's
    components: int = 768  # joint principal components of W+
    rank: int = 64  # subspace: rank of the product of request and code
    start: Literal["linear", "zero"] = "linear"  # start from the best directions of a linear world, or from no edit
    people: int = 8000  # on whose codes F's answers are regressed before training; 0 for one edit for all
    size: int = 128  # pictures are compared at this many pixels
    limit: int | None = None  # use only so many portraits
    steps: int = 200  # optimiser steps
    pairs: int = 8  # pairs (w, v) per step; each gives one sample per control and direction
    surroundings: int = 32  # principal components of hair, clothes and background that edits keep
    requests: int = 64  # slider requests per step
    siamese: bool = True  # also train every pair with v and w swapped
    optimiser: Literal["adamw", "adadelta"] = "adamw"  # adadelta is the paper's; it hardly moves the rig here
    lr: float = 1e-4  # peak learning rate
    weight_decay: float = 0.0  # adamw's
    render: RenderWeights = field(default_factory=RenderWeights)
    weights: RigWeights = field(default_factory=RigWeights)
    directions: DirectionWeights = field(default_factory=DirectionWeights)
    compare: Literal["pictures", "parameters"] = "pictures"  # pairs: what F sees is rendered, or compared as it is
    generator: str = ""  # name, or folder of a converted one; by default the one that the portraits name
    calibrate: int = 16  # training people on whose pictures the gains are measured afterwards; 0 leaves them at 1
    grid: int = 4  # people in the picture grids; 0 for none, and then no generator is needed but to calibrate
    seed: int = 0  # of every random draw
    device: str = "cpu"  # cpu or cuda
    threads: int = 0  # CPU threads; 0 leaves torch's default
    log_every: int = 25  # steps between TensorBoard entries
    save_every: int = 100  # steps between states to resume from and picture grids
    resume: bool = False  # go on with a run of the same name


def run(config: RigTraining) -> RigNet:
    """Trains RigNet, writes ``runs/<name>/rig`` and the Engine's folder ``runs/<name>/engine``; returns it."""
    if config.preset == "paper":
        config = with_preset(config, PAPER)
    model, portraits = begin(config)
    reconstructor = FaceReconstructor.from_pretrained(config.reconstructor, config.device)
    reconstructor.check_face_model(model)
    own = reconstruct_all(reconstructor, portraits, config.device)
    generator, trained_for = trained_against(config, portraits, model)
    reconstructor.config.trained_for.check("reconstructor", trained_for)
    rig = build(
        RigConfig(
            num_ws=portraits.num_ws,
            sizes=model.sizes,
            form=config.form,
            controls=config.controls,
            components=config.components,
            rank=config.rank,
            trained_for=trained_for,
        )
    ).to(config.device)
    space = CodeSpace.fit(portraits, config.components, config.seed).to(config.device)
    price = torch.zeros(config.components, config.components, device=config.device)
    world = None
    if config.start == "linear" or config.weights.price:
        world = linear_world(portraits, own, space, model, reconstructor, config)
        price = world.unmeasured() if config.start == "linear" else world.price()
    initialise(rig, portraits, own, space, world if config.start == "linear" else None)
    if config.people and config.start == "linear":
        assert isinstance(rig, SubspaceRigNet)
        answer_personally(rig, reconstructor, portraits, own, model, config.people, seed=config.seed)
    losses = RigLosses(model, reconstructor, rig, space, price, config)
    draw = torch.Generator().manual_seed(config.seed)
    optimiser = make_optimiser(rig, config.optimiser, config.lr, config.weight_decay)
    with Run(config.runs / config.name, config, config.resume) as record:
        start = record.load_state(rig, optimiser, draw)
        began, values = time.perf_counter(), {}
        for step, bar in progress("rig", start, config.steps):
            set_cosine_lr(optimiser, config.optimiser, config.lr, step, config.steps)
            index = torch.randint(len(portraits), (2, config.pairs), generator=draw)
            first, second = (gather(portraits, i, config.device) for i in index)
            parts = losses.pairs(first, second, own[index[0]], own[index[1]])
            if config.siamese:
                swapped = losses.pairs(second, first, own[index[1]], own[index[0]])
                parts = {name: (parts[name] + swapped[name]) / 2 for name in parts}
            if config.requests:
                chosen = torch.randint(len(portraits), (config.requests,), generator=draw)
                parts |= losses.requests(portraits.ws(chosen).to(config.device), own[chosen], draw)
            loss = torch.stack(list(parts.values())).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if (step + 1) % config.log_every == 0:
                values = {name: float(part.detach()) for name, part in parts.items()}
                record.log(step + 1, {"loss": float(loss.detach()), **values})
                describe(bar, "rig", values)
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                record.save_state(step + 1, rig, optimiser, draw)
                if generator is not None and config.grid:
                    people = portraits.ws(slice(0, config.grid)).to(config.device)
                    record.picture("edits", edit_grid(generator, rig, reconstructor, people), step + 1)
        rig.eval().requires_grad_(False)
        seconds = time.perf_counter() - began
        shares = []
        if generator is not None and config.calibrate:
            engine = Engine(generator, rig, reconstructor, model, device=config.device)
            shares = calibrate_on(engine, portraits, config)
        rig.save_pretrained(record.folder / "rig")
        stored = Path(config.generator) if Path(config.generator or "-").is_dir() else None
        pack(record.folder / "engine", rig, reconstructor, model, portraits, own, config.face_model, stored)
        record.write_metrics({"portraits": len(portraits), "seconds": seconds, "loss": values, "shares": shares})
    return rig


class RigLosses:
    """The losses of RigNet for one face model, F and set of controls."""

    def __init__(
        self,
        model: FaceModel,
        reconstructor: FaceReconstructor,
        rig: RigNet,
        space: CodeSpace,
        price: Tensor,
        config: RigTraining,
    ) -> None:
        self.model, self.reconstructor, self.rig, self.config = model, reconstructor, rig, config
        self.space, self.price = space, price
        self.objective = RenderObjective(model, reconstructor.camera, config.render)
        self.surface = SurfaceObjective(model, reconstructor.camera)
        # The rig pays for what it adds to its start.
        self.start = copy.deepcopy(rig).requires_grad_(False)
        width = sum(model.sizes[name] for name in BLOCKS)
        device = model.mean.device
        self.edited = torch.zeros(len(config.controls), width, dtype=torch.bool, device=device)
        for row, control in enumerate(config.controls):
            self.edited[row, control_columns(model.sizes, (control,))] = True
        # Translation is neither edited nor kept: a turned head may move in the crop (the paper's supplement).
        self.kept = ~self.edited
        self.kept[:, -model.sizes["translation"] :] = False

    def _params(self, vector: Tensor) -> FaceParams:
        return FaceParams.from_vector(vector, self.model.sizes, self.model.expression_names)

    def pairs(self, first: Batch, second: Batch, own_w: Tensor, own_v: Tensor) -> dict[str, Tensor]:
        """L_rec, L_edit and L_consist of editing w toward v, one sample per pair and control."""
        weights, controls = self.config.weights, len(self.config.controls)
        rows = torch.arange(len(own_w), device=own_w.device).repeat(controls)
        edited = self.edited.repeat_interleave(len(own_w), 0)
        kept = self.kept.repeat_interleave(len(own_w), 0)
        w, p_w, p_v = first.w[rows], own_w[rows], own_v[rows]
        edited_code = self.rig(w, torch.where(edited, p_v, p_w), p_w)
        seen = self.reconstructor.vector(edited_code)
        # L_edit is scored against I_v, L_consist against I_w: the other way round trains the edit away.
        edit = torch.where(edited, seen, p_v)
        consist = torch.where(kept, seen, p_w)
        target = torch.cat([second.image[rows], first.image[rows]])
        points = torch.cat([second.landmarks[rows], first.landmarks[rows]])
        detected = torch.cat([second.detected[rows], first.detected[rows]])
        if self.config.compare == "pictures":
            rendered = self.objective(self._params(torch.cat([edit, consist])), target, points, detected)
            total = torch.stack(list(rendered.values())).sum(0)
        else:
            wrong = torch.cat([edit - p_v, consist - p_w]) / self.reconstructor.out_scale
            total = wrong.square().mean(1)
        same = self.rig(first.w, own_w, own_w)
        std = self.reconstructor.w_std
        return {
            "rec": weights.reconstruction * ((same - first.w) / std).square().mean(),
            "edit": weights.edit * total[: len(rows)].mean(),
            "consist": weights.consistency * total[len(rows) :].mean(),
            "price": self.priced(edited_code, w, torch.where(edited, p_v, p_w), p_w),
        }

    def priced(self, edited: Tensor, w: Tensor, params: Tensor, own: Tensor) -> Tensor:
        """What edited codes change unasked, beyond what the rig changed at its start."""
        added = self.space.deviations(edited - self.start(w, params, own))
        return self.config.weights.price * torch.einsum("bi,ij,bj->b", added, self.price, added).mean()

    def requests(self, w: Tensor, own: Tensor, draw: torch.Generator) -> dict[str, Tensor]:
        """Slider requests scored on the surface: pose and light are as asked, the identity stays.

        Of expressions F sees too little to be asked: what it misses of a smile, it would have exaggerated.
        """
        weights, own_params = self.config.weights, self._params(own)
        wanted = draw_requests(own_params, draw, self.config.controls)
        edited_code = self.rig(w, wanted.vector(), own)
        seen = self._params(self.reconstructor.vector(edited_code))
        seen = seen.with_blocks(expression=wanted.blocks["expression"])
        # Translation follows F: it is neither edited nor kept.
        target = wanted.with_blocks(translation=seen.blocks["translation"].detach())
        distance, colour = self.surface(seen, target)
        return {
            "surface": weights.surface * distance.mean(),
            "shading": weights.shading * colour.mean(),
            "request_price": self.priced(edited_code, w, wanted.vector(), own),
        }


def linear_world(
    portraits: PortraitSet,
    own: Tensor,
    space: CodeSpace,
    model: FaceModel,
    reconstructor: FaceReconstructor,
    config: RigTraining,
) -> LinearWorld:
    """The linear world of a training set; ``own`` is F of its codes."""
    codes, camera = space.whiten_all(portraits), reconstructor.camera
    around = surroundings_map(codes, principal(surroundings(portraits), config.surroundings))
    seen = observe(portraits, own, codes, model, camera)
    return LinearWorld.of(own, codes, seen, around, model, camera, config.directions)


def trained_against(
    config: RigTraining, portraits: PortraitSet, model: FaceModel
) -> tuple[Generator | None, TrainedFor]:
    """The generator, where one is needed, and what the rig's config will say it was trained for.

    Raises:
        CheckpointError: the generator is not the one that made the portraits.
    """
    made = TrainedFor(portraits.generator, portraits.generator_sha256, model.name, model.fingerprint())
    if not (config.grid or config.calibrate):
        return None, made
    generator = open_generator(config.generator or portraits.generator, config.device)
    found = TrainedFor.of(generator, model)
    made.check("portrait set", found)
    return generator, found


def calibrate_on(engine: Engine, portraits: PortraitSet, config: RigTraining) -> list[dict[str, float]]:
    """Calibrates the gains on training people within 10 degrees of yaw; see `calibrate`."""
    judge = Judge(engine.face_model, engine.camera)
    people, _ = choose_people(portraits, judge.estimator, config.calibrate, seed=config.seed)
    return calibrate(engine, portraits.ws(people), judge=judge)


@torch.no_grad()
def reconstruct_all(reconstructor: FaceReconstructor, portraits: PortraitSet, device: str) -> Tensor:
    """F of every portrait, ``(N, P)`` on ``device``."""
    blocks = torch.arange(len(portraits)).split(512)
    return torch.cat([reconstructor.vector(portraits.ws(index).to(device)) for index in blocks])
