"""``python -m stylerig_fast.evaluation.ablations``: the rig without one thing at a time, trained and measured."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from stylerig_fast.checkpoint import write_atomically
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
from stylerig_fast.train import rig
from stylerig_fast.train.rig import RigTraining
from stylerig_fast.train.weights import RigWeights

Change = Callable[[RigTraining], RigTraining]


def _weights(**values: float) -> Change:
    def changed(config: RigTraining) -> RigTraining:
        return dataclasses.replace(config, weights=dataclasses.replace(config.weights, **values))

    return changed


def _directions(**values: float) -> Change:
    def changed(config: RigTraining) -> RigTraining:
        return dataclasses.replace(config, directions=dataclasses.replace(config.directions, **values))

    return changed


# The single-control networks are measured on their own control alone.
ABLATIONS: dict[str, Change] = {
    "whole": lambda config: config,
    "no-reconstruction": _weights(reconstruction=0.0),
    "no-consistency": _weights(consistency=0.0),
    "no-siamese": lambda config: dataclasses.replace(config, siamese=False),
    "no-price": _weights(price=0.0),
    "parameter-loss": lambda config: dataclasses.replace(config, compare="parameters"),
    "no-surroundings": _directions(surroundings=0.0),
    "no-colours": _directions(colours=0.0, length=1.0),
    "no-pictures": lambda config: dataclasses.replace(config, pictures=0),
    "one-edit-for-all": lambda config: dataclasses.replace(config, people=0, pictures=0, steps=0),
    "no-linear-start": lambda config: dataclasses.replace(config, start="zero"),
    "no-requests": lambda config: dataclasses.replace(config, requests=0),
    "linear": lambda config: dataclasses.replace(config, form="linear", start="zero"),
    "paper": lambda config: dataclasses.replace(config, preset="paper", weights=RigWeights()),
    "pose-alone": lambda config: dataclasses.replace(config, controls=("pose",)),
    "expression-alone": lambda config: dataclasses.replace(config, controls=("expression",)),
    "illumination-alone": lambda config: dataclasses.replace(config, controls=("illumination",)),
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
    survey = None
    for name in config.only or ABLATIONS:
        training = RigTraining(
            data=config.data,
            reconstructor=config.reconstructor,
            name=f"ablation-{name}",
            runs=config.runs,
            steps=config.steps,
            pictures=config.pictures,
            calibrate=config.calibrate,
            limit=config.limit,
            grid=0,
            seed=config.seed,
            dtype=config.dtype,
        )
        training = ABLATIONS[name](training)
        folder = config.runs / training.name
        if not (folder / "engine" / "reach.json").is_file():
            survey = survey or rig.survey_of(training)
            rig.run(dataclasses.replace(training, resume=(folder / "config.json").is_file()), survey)
        found[name] = measure(folder / "engine", training.controls, config)
        write_atomically(config.runs / "ablations.json", (json.dumps(found, indent=1) + "\n").encode())
    return found


def measure(folder: Path, controls: tuple[str, ...], config: Ablations) -> dict[str, float]:
    """Metrics of one rig on the held-out people, for the controls that it has."""
    engine = Engine.from_pretrained(folder, dtype=getattr(torch, config.dtype))
    engine.reach = None
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
