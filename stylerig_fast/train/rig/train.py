"""The training of RigNet. `run` is the method; the parts of it follow in the order in which they are called.

The optimiser's loop is that of Tewari et al. 2020, section 4.4. The steps around it are solved in closed form.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.generators import Generator, open_generator
from stylerig_fast.provenance import Provenance
from stylerig_fast.rignet import RigConfig, RigNet, SubspaceRigNet, build
from stylerig_fast.train.batch import on_device
from stylerig_fast.train.config import RigTraining, with_preset
from stylerig_fast.train.loop import describe, make_optimiser, progress, set_cosine_lr
from stylerig_fast.train.previews import edit_grid
from stylerig_fast.train.rig.closed_form import LinearEditModel, initialise
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics
from stylerig_fast.train.rig.gain_calibration import calibrate_gains
from stylerig_fast.train.rig.image_correction import correct_with_images
from stylerig_fast.train.rig.losses import RigLosses
from stylerig_fast.train.rig.package import package
from stylerig_fast.train.rig.person_correction import correct_with_reconstructor
from stylerig_fast.train.rig.step import RigStep
from stylerig_fast.train.run_folder import RunFolder
from stylerig_fast.train.step_runner import StepRunner


def run(config: RigTraining, stats: DatasetStatistics | None = None, solved: SolvedRig | None = None) -> RigNet:
    """Trains RigNet; writes ``runs/<name>/rig`` and ``runs/<name>/engine``, the folder of an Engine.

    Args:
        config: of the training.
        stats: `DatasetStatistics.load` of a config with the same portraits, F and components; computed if not given.
        solved: `solve` of a config with the same seed and settings of steps 1 to 3; computed if not given.

    Returns:
        The rig, in eval mode.

    Raises:
        CheckpointError: the generator is not the portraits', F is for another one, or the folder holds another run.
        DataError: the portraits could not be read.
    """
    config = with_preset(config)
    # Step 0: F's parameters of the training portraits, and the principal components of their codes.
    stats = stats or DatasetStatistics.load(config)
    generator, provenance = open_generator_of(stats, config)
    stats.reconstructor.config.provenance.check("reconstructor", provenance)
    # Steps 1 to 3: what pictures show, regressed on the code; edit directions; their correction per person.
    solved = solved or solve(config, stats)
    rig = new_rig(config, stats, provenance)
    rig.load_state_dict(solved.state)
    with RunFolder(config) as record:
        # Step 4: cycle-consistency training against F.
        metrics = train_cycle_consistency(rig, solved.penalty, stats, config, record, generator)
        # Steps 5 and 6: correction and calibration by what edited pictures show.
        shares = correct_on_pictures(rig, solved.edit_model, stats, config, generator)
        rig.save_pretrained(record.folder / "rig")
        package(record.folder / "engine", rig, stats, config.data.face_model, converted_folder(config))
        record.write_metrics({"portraits": len(stats.portraits), **metrics, "shares": shares})
    return rig


@dataclass(frozen=True)
class SolvedRig:
    """A rig after steps 1 to 3: what is solved before the first optimiser step.

    Attributes:
        state: its ``state_dict``.
        penalty: ``(K, K)`` the matrix of side effects that step 4 penalises.
        edit_model: of step 2, which step 5 needs; None for a rig that starts from zero.
    """

    state: dict[str, Tensor]
    penalty: Tensor
    edit_model: LinearEditModel | None


def solve(config: RigTraining, stats: DatasetStatistics) -> SolvedRig:
    """Steps 1 to 3: solves for the rig that the training starts from.

    Args:
        config: of the training.
        stats: of its portraits.
    """
    config = with_preset(config)
    torch.manual_seed(config.run.seed)
    rig = new_rig(config, stats, Provenance())
    if config.closed_form.start == "zero":
        initialise(rig, stats)
        penalty = torch.zeros(config.network.components, config.network.components, device=config.run.device)
        if config.cycle.weights.side_effects:
            penalty = LinearEditModel.fit(stats, config.closed_form).side_effect_penalty()
        return SolvedRig(rig.state_dict(), penalty, None)
    edit_model = LinearEditModel.fit(stats, config.closed_form)  # step 1, what offsets of the code do
    initialise(rig, stats, edit_model)  # step 2, the best offset for each parameter
    penalty = edit_model.penalty_beyond_reconstructor()
    if config.person.people:
        assert isinstance(rig, SubspaceRigNet)
        correct_with_reconstructor(rig, stats, config.person.people, config.run.seed)  # step 3
    return SolvedRig(rig.state_dict(), penalty, edit_model)


def train_cycle_consistency(
    rig: RigNet,
    penalty: Tensor,
    stats: DatasetStatistics,
    config: RigTraining,
    record: RunFolder,
    generator: Generator | None,
) -> dict[str, object]:
    """Step 4: the optimiser's loop.

    Args:
        rig: after steps 1 to 3, trained in place; in eval mode and frozen afterwards.
        penalty: ``(K, K)`` the matrix of side effects.
        stats: of the training set.
        config: of the training.
        record: gets the loss, previews, and states to resume from; a state that it holds is gone on with.
        generator: makes the previews; none are made without.

    Returns:
        The seconds that the loop took and the loss terms when they were last logged.
    """
    cycle, run, reconstructor = config.cycle, config.run, stats.reconstructor
    losses = RigLosses(
        stats.model, reconstructor, rig, stats.latent_pca, penalty, cycle.render, cycle.weights, cycle.compare
    )
    draw = torch.Generator().manual_seed(run.seed)
    optimiser = make_optimiser(rig, cycle.optimiser, cycle.lr, cycle.weight_decay)
    step = RigStep(cycle, losses, on_device(stats.portraits, run.device), stats.source)
    run_step = StepRunner(partial(step, optimiser), run.device, run.capture)
    start = record.load_state(rig, optimiser, draw)
    began, shown = time.perf_counter(), {}
    for index, bar in progress("rig", start, cycle.steps):
        set_cosine_lr(optimiser, cycle.optimiser, cycle.lr, index, cycle.steps)
        terms = run_step(step.draw(draw))
        done = index + 1
        if done % run.log_every == 0:
            values = {name: float(term) for name, term in terms.items()}
            record.log(done, values)
            shown = {name: value for name, value in values.items() if name != "loss"}
            describe(bar, "rig", shown)
        if done % run.save_every == 0 or done == cycle.steps:
            record.save_state(done, rig, optimiser, draw)
            if generator is not None and run.preview_people:
                people = stats.portraits.ws(slice(0, run.preview_people)).to(run.device)
                record.picture("edits", edit_grid(generator, rig, reconstructor, people), done)
    rig.eval().requires_grad_(False)
    return {"seconds": time.perf_counter() - began, "loss": shown}


def correct_on_pictures(
    rig: RigNet,
    edit_model: LinearEditModel | None,
    stats: DatasetStatistics,
    config: RigTraining,
    generator: Generator | None,
) -> list[dict[str, float]]:
    """Steps 5 and 6, on edited pictures; after the training against F, which sees less of them and would undo it.

    Args:
        rig: after step 4, changed in place.
        edit_model: of step 2; step 5 is skipped without.
        stats: of the training set.
        config: of the training.
        generator: makes the pictures; both steps are skipped without.

    Returns:
        What `calibrate_gains` returns; empty if it is skipped.
    """
    if generator is None or not (config.images.people or config.gains.people):
        return []
    device, seed, dtype = config.run.device, config.run.seed, getattr(torch, config.run.dtype)
    engine = Engine(generator, rig, stats.reconstructor, stats.model, device=device, dtype=dtype)
    if config.images.people and edit_model is not None:
        correct_with_images(engine, stats.portraits, edit_model, config.images.people, seed)  # step 5
    return calibrate_gains(engine, stats.portraits, config.gains.people, seed) if config.gains.people else []  # step 6


# ---- what it begins with ------------------------------------------------------------------------------------


def new_rig(config: RigTraining, stats: DatasetStatistics, provenance: Provenance) -> RigNet:
    """An untrained RigNet of the portraits' and the face model's sizes, on the training device."""
    network = config.network
    shape = RigConfig(
        num_ws=stats.portraits.num_ws,
        sizes=stats.model.sizes,
        form=network.form,
        controls=network.controls,
        components=network.components,
        rank=network.rank,
        provenance=provenance,
    )
    return build(shape).to(config.run.device)


def open_generator_of(stats: DatasetStatistics, config: RigTraining) -> tuple[Generator | None, Provenance]:
    """The generator that made the portraits, if the training needs one, and what the rig will be trained for.

    Raises:
        CheckpointError: the generator is not the one that made the portraits.
    """
    portraits, model = stats.portraits, stats.model
    made_by = Provenance(portraits.generator, portraits.generator_sha256, model.name, model.fingerprint())
    if not (config.run.preview_people or config.images.people or config.gains.people):
        return None, made_by
    generator = open_generator(config.data.generator or portraits.generator, config.run.device)
    provenance = Provenance.of(generator, model)
    made_by.check("portrait set", provenance)
    return generator, provenance


def converted_folder(config: RigTraining) -> Path | None:
    """The folder of the generator, where the config names one and not a pretrained generator."""
    return Path(config.data.generator) if Path(config.data.generator or "-").is_dir() else None
