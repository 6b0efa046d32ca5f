"""Stage ``rig``: trains RigNet against a frozen F by two-way cycle consistency (Tewari et al. 2020, section 4.4)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.face import FaceModel
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.measurement.parallel import analyzing_beside
from stylerig_fast.measurement.people import frontal_people
from stylerig_fast.reconstruction import FaceReconstructor
from stylerig_fast.rignet import Form, RigConfig, RigNet, SubspaceRigNet, build
from stylerig_fast.train.batches import on_device
from stylerig_fast.train.calibrate import calibrate
from stylerig_fast.train.captured import Steps
from stylerig_fast.train.grids import edit_grid
from stylerig_fast.train.initialise import initialise
from stylerig_fast.train.losses import RigLosses
from stylerig_fast.train.objective import RenderWeights
from stylerig_fast.train.optimise import make_optimiser, set_cosine_lr
from stylerig_fast.train.pack import pack
from stylerig_fast.train.personal import answer_personally
from stylerig_fast.train.pictured import look_at_edits
from stylerig_fast.train.presets import with_preset
from stylerig_fast.train.rig_step import RigStep
from stylerig_fast.train.run import Run, describe, progress
from stylerig_fast.train.setting import begin
from stylerig_fast.train.survey import Survey
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
    "pictures": 0,
    "calibrate": 0,
    "weights": RigWeights(price=0.0),
}

# What the start depends on, beside the survey and whether anything is priced.
STARTED_BY = ("form", "controls", "components", "rank", "start", "people", "directions", "seed")


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
    rank: int = 96  # subspace: rank of the product of request and person
    start: Literal["linear", "zero"] = "linear"  # start from the best directions of a linear world, or from no edit
    people: int = 8000  # on whose codes F's answers are regressed before training; 0 for one edit for all
    pictures: int = 4000  # on whose edited pictures measures are regressed after training, at most; 0 for none
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
    calibrate: int = 40  # training people, at most, on whose pictures gains are measured afterwards; 0 leaves them at 1
    grid: int = 4  # people in the picture grids; 0 for none, and then no generator is needed but to calibrate
    seed: int = 0  # of every random draw
    device: str = "cpu"  # cpu or cuda
    capture: bool = True  # cuda: replay each step from one CUDA graph
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the pictures; bfloat16 is faster where processors have it
    threads: int = 0  # CPU threads; 0 leaves torch's default
    log_every: int = 25  # steps between TensorBoard entries
    save_every: int = 100  # steps between states to resume from and picture grids
    resume: bool = False  # go on with a run of the same name


def run(config: RigTraining, survey: Survey | None = None) -> RigNet:
    """Trains RigNet, writes ``runs/<name>/rig`` and the Engine's folder ``runs/<name>/engine``; returns it.

    Args:
        config: of the training.
        survey: `survey_of` a config with the same portraits, F and components; made anew without.
    """
    if config.preset == "paper":
        config = with_preset(config, PAPER)
    survey = survey or survey_of(config)
    model, portraits, reconstructor, own = survey.model, survey.portraits, survey.reconstructor, survey.own
    generator, trained_for = trained_against(config, portraits, model)
    reconstructor.config.trained_for.check("reconstructor", trained_for)
    torch.manual_seed(config.seed)
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
    engine = None
    if generator is not None:
        dtype = getattr(torch, config.dtype)
        engine = Engine(generator, rig, reconstructor, model, device=config.device, dtype=dtype)
    price = start_of(rig, survey, config)
    rig.train().requires_grad_(True)  # an Engine freezes what it is given
    losses = RigLosses(model, reconstructor, rig, survey.space, price, config.render, config.weights, config.compare)
    draw = torch.Generator().manual_seed(config.seed)
    optimiser = make_optimiser(rig, config.optimiser, config.lr, config.weight_decay)
    work = RigStep(losses, on_device(portraits, config.device), own, config.pairs, config.requests, config.siamese)
    steps = Steps(partial(work, optimiser), config.device, config.capture)
    with Run(config.runs / config.name, config, config.resume) as record:
        start = record.load_state(rig, optimiser, draw)
        began, values = time.perf_counter(), {}
        for step, bar in progress("rig", start, config.steps):
            set_cosine_lr(optimiser, config.optimiser, config.lr, step, config.steps)
            parts = steps(work.draw(draw))
            if (step + 1) % config.log_every == 0:
                found = {name: float(part) for name, part in parts.items()}
                record.log(step + 1, found)
                values = {name: value for name, value in found.items() if name != "loss"}
                describe(bar, "rig", values)
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                record.save_state(step + 1, rig, optimiser, draw)
                if generator is not None and config.grid:
                    people = portraits.ws(slice(0, config.grid)).to(config.device)
                    record.picture("edits", edit_grid(generator, rig, reconstructor, people), step + 1)
        rig.eval().requires_grad_(False)
        seconds = time.perf_counter() - began
        if config.pictures and config.start == "linear" and engine is not None:
            # After training against F, which sees less and would undo it.
            world = survey.world(config.directions)
            look_at_edits(engine, portraits, world, config.pictures, config.seed)
        shares = []
        if engine is not None and config.calibrate:
            shares = calibrate_on(engine, portraits, config)
        rig.save_pretrained(record.folder / "rig")
        stored = Path(config.generator) if Path(config.generator or "-").is_dir() else None
        pack(record.folder / "engine", rig, reconstructor, model, portraits, own, config.face_model, stored)
        record.write_metrics({"portraits": len(portraits), "seconds": seconds, "loss": values, "shares": shares})
    return rig


def trained_against(
    config: RigTraining, portraits: PortraitSet, model: FaceModel
) -> tuple[Generator | None, TrainedFor]:
    """The generator, where one is needed, and what the rig's config will say it was trained for.

    Raises:
        CheckpointError: the generator is not the one that made the portraits.
    """
    made = TrainedFor(portraits.generator, portraits.generator_sha256, model.name, model.fingerprint())
    if not (config.grid or config.pictures or config.calibrate):
        return None, made
    generator = open_generator(config.generator or portraits.generator, config.device)
    found = TrainedFor.of(generator, model)
    made.check("portrait set", found)
    return generator, found


def survey_of(config: RigTraining) -> Survey:
    """What the training reads off its portraits."""
    model, portraits = begin(config)
    reconstructor = FaceReconstructor.from_pretrained(config.reconstructor, config.device)
    reconstructor.check_face_model(model)
    return Survey(portraits, model, reconstructor, config.components, config.surroundings, config.seed)


def start_of(rig: RigNet, survey: Survey, config: RigTraining) -> Tensor:
    """`solve_start`, once for all trainings of a survey that start alike."""
    key = repr([getattr(config, name) for name in STARTED_BY] + [config.weights.price > 0])
    if key not in survey.starts:
        price = solve_start(rig, survey, config)
        survey.starts[key] = {name: value.clone() for name, value in rig.state_dict().items()}, price
    state, price = survey.starts[key]
    rig.load_state_dict(state)
    return price


def solve_start(rig: RigNet, survey: Survey, config: RigTraining) -> Tensor:
    """Fills a new rig: statistics, and what is solved before any step; the price of what training adds ``(K, K)``."""
    linear = config.start == "linear"
    price = torch.zeros(config.components, config.components, device=config.device)
    world = survey.world(config.directions) if linear or config.weights.price else None
    if world is not None:
        price = world.unmeasured() if linear else world.price()
    initialise(rig, survey.portraits, survey.own, survey.space, world if linear else None)
    if linear and config.people:
        assert isinstance(rig, SubspaceRigNet)
        answer_personally(
            rig, survey.reconstructor, survey.portraits, survey.own, survey.model, config.people, seed=config.seed
        )
    return price


def calibrate_on(engine: Engine, portraits: PortraitSet, config: RigTraining) -> list[dict[str, float]]:
    """Calibrates the gains on training people within 10 degrees of yaw; see `calibrate`."""
    with analyzing_beside(engine.face_model, engine.camera) as (analyzer, pool):
        people = frontal_people(portraits, analyzer.estimator, seed=config.seed)[: config.calibrate]
        return calibrate(engine, analyzer, portraits.ws(people), pool)
