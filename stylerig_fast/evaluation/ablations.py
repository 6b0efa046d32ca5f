"""``python -m stylerig_fast.evaluation.ablations``: the rig without one thing at a time, trained and measured."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.errors import StyleRigError
from stylerig_fast.evaluation.analyzers import describing_analyzer
from stylerig_fast.evaluation.heldout_estimators.background import background_change
from stylerig_fast.evaluation.metrics.registry import MetricInputs, compute_metrics
from stylerig_fast.measurement.edit_kinds import evaluated_kinds
from stylerig_fast.measurement.edit_runner import measure_edits
from stylerig_fast.measurement.edit_suite import edits_of
from stylerig_fast.measurement.memory import give_large_blocks_back
from stylerig_fast.measurement.parallel import ProcessPoolAnalyzer
from stylerig_fast.measurement.people import choose_people
from stylerig_fast.measurement.portrait_measures import portrait_std
from stylerig_fast.train.config import (
    GainCalibrationConfig,
    ImageCorrectionConfig,
    RigDataConfig,
    RigRunConfig,
    RigTraining,
    with_preset,
)
from stylerig_fast.train.rig import train as rig
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics
from stylerig_fast.train.rig.train import SolvedRig

Change = Callable[[RigTraining], RigTraining]


def _with(group: str, **values: Any) -> Change:
    """Changes settings of one group of the training's config."""

    def changed(config: RigTraining) -> RigTraining:
        return dataclasses.replace(config, **{group: dataclasses.replace(getattr(config, group), **values)})

    return changed


def _weights(**values: float) -> Change:
    def changed(config: RigTraining) -> RigTraining:
        weights = dataclasses.replace(config.cycle.weights, **values)
        return _with("cycle", weights=weights)(config)

    return changed


def _all(*changes: Change) -> Change:
    def changed(config: RigTraining) -> RigTraining:
        for change in changes:
            config = change(config)
        return config

    return changed


# The single-control networks are measured on their own control alone.
ABLATIONS: dict[str, Change] = {
    "whole": lambda config: config,
    "no-reconstruction": _weights(reconstruction=0.0),
    "no-consistency": _weights(consistency=0.0),
    "no-siamese": _with("cycle", siamese=False),
    "no-price": _weights(side_effects=0.0),
    "parameter-loss": _with("cycle", compare="parameters"),
    "no-surroundings": _with("closed_form", background=0.0),
    "no-colours": _with("closed_form", colours=0.0, length=1.0),
    "no-pictures": _with("images", people=0),
    "one-edit-for-all": _all(_with("person", people=0), _with("images", people=0), _with("cycle", steps=0)),
    "no-linear-start": _with("closed_form", start="zero"),
    "no-requests": _with("cycle", requests=0),
    "linear": _all(_with("network", form="linear"), _with("closed_form", start="zero")),
    "paper": lambda config: dataclasses.replace(config, preset="paper"),
    "pose-alone": _with("network", controls=("pose",)),
    "expression-alone": _with("network", controls=("expression",)),
    "illumination-alone": _with("network", controls=("illumination",)),
}
SHOWN = (
    *("yaw.gain", "yaw.error", "pitch.gain", "jaw.gain", "smile.gain", "eyes.gain", "brows.gain", "light.gain"),
    *("identity.yaw_15", "identity.expression", "identity.light"),
    *("off_target_change.yaw", "off_target_change.jaw", "off_target_change.light"),
    *("background.yaw", "detected.share"),
)


@dataclass(frozen=True)
class Ablations:
    """Train the rig with one thing taken away at a time, and measure each on held-out people."""

    data: Path  # folder of portrait shards; the last one is held out
    reconstructor: Path  # folder of the trained F
    only: tuple[str, ...] = ()  # names of the ablations to run; all of them by default
    runs: Path = Path("runs")  # folder of runs; each ablation is runs/ablation-<name>
    people: int = 40  # held-out people that every rig edits
    steps: int = 200  # optimiser steps of each training
    pictures: int = 250  # training people on whose edited pictures measures are regressed
    calibrate: int = 16  # people on whose pictures gains are measured; 0 shows what training alone gives
    limit: int | None = None  # use only so many portraits
    seed: int = 0  # of every random draw
    resolution: int = 512  # pixels of the edited pictures
    dtype: Literal["float32", "bfloat16"] = "float32"  # of all pictures


def run(config: Ablations) -> dict[str, dict[str, float]]:
    """Trains what is not trained yet, measures everything, writes ``runs/ablations.json``; metrics by ablation.

    What is read off the portraits, and what is solved before training, is made once for all that share it.
    """
    unknown = [name for name in config.only if name not in ABLATIONS]
    if unknown:
        raise ValueError(f"unknown ablations {unknown}; there are {', '.join(ABLATIONS)}")
    found: dict[str, dict[str, float]] = {}
    stats: DatasetStatistics | None = None
    # Rigs after steps 1 to 3, by all that these depend on beside the portraits and F.
    solved: dict[Hashable, SolvedRig] = {}
    for name in config.only or ABLATIONS:
        training = RigTraining(
            data=RigDataConfig(portraits=config.data, reconstructor=config.reconstructor, limit=config.limit),
            images=ImageCorrectionConfig(config.pictures),
            gains=GainCalibrationConfig(config.calibrate),
            run=RigRunConfig(
                name=f"ablation-{name}", runs=config.runs, preview_people=0, seed=config.seed, dtype=config.dtype
            ),
        )
        training = with_preset(ABLATIONS[name](_with("cycle", steps=config.steps)(training)))
        folder = config.runs / training.run.name
        if not (folder / "engine" / "reach.json").is_file():
            stats = stats or DatasetStatistics.load(training)
            penalised = training.cycle.weights.side_effects > 0
            start = (training.network, training.closed_form, training.person, penalised)
            if start not in solved:
                solved[start] = rig.solve(training, stats)
            training = _with("run", resume=(folder / "config.json").is_file())(training)
            rig.run(training, stats, solved[start])
        found[name] = measure(folder / "engine", training.network.controls, config)
        write_atomically(config.runs / "ablations.json", (json.dumps(found, indent=1) + "\n").encode())
    return found


def measure(folder: Path, controls: tuple[str, ...], config: Ablations) -> dict[str, float]:
    """Metrics of one rig on the held-out people, for the controls that it has."""
    engine = Engine.from_pretrained(folder, dtype=getattr(torch, config.dtype), reach=None)
    analyzer = describing_analyzer(engine.face_model, engine.camera)
    held_out = PortraitSet.load(config.data, shards="held-out")
    people, _ = choose_people(held_out, analyzer.estimator, config.people, seed=config.seed)
    kinds = [kind for kind in evaluated_kinds() if kind.control in controls]
    with ProcessPoolAnalyzer(describing_analyzer, (analyzer.model, engine.camera)) as pool:
        measured = measure_edits(
            engine,
            analyzer,
            held_out.ws(people),
            edits_of(kinds, engine.face_model.expression_names, quick=True),
            pool=pool,
            resolution=config.resolution,
            background=background_change,
        )
    inputs = MetricInputs(measured=measured, std=portrait_std(held_out, analyzer.estimator), seed=config.seed)
    found = compute_metrics(inputs)
    return {name: found[name].value for name in SHOWN if name in found}


def main(arguments: list[str] | None = None) -> int:
    """Runs the ablations and prints their table."""
    config = tyro.cli(Ablations, prog="python -m stylerig_fast.evaluation.ablations", args=arguments)
    give_large_blocks_back()
    try:
        found = run(config)
    except (StyleRigError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    width = max(map(len, SHOWN))
    print(" " * width, *(f"{name:>18}" for name in found))
    for name in SHOWN:
        print(name.ljust(width), *(f"{values.get(name, float('nan')):18.3f}" for values in found.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
