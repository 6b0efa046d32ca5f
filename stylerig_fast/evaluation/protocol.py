"""The whole evaluation of a rig as one call: its metrics, the baselines beside it, its reach, its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.analyzers import open_analyzers
from stylerig_fast.evaluation.comparison import MethodOutcome, MethodScore, method_outcomes, method_score
from stylerig_fast.evaluation.heldout_estimators.background import background_change
from stylerig_fast.evaluation.iso_identity import IsoIdentityComparison, iso_identity_comparisons
from stylerig_fast.evaluation.methods.fit import fit_methods
from stylerig_fast.evaluation.methods.no_edit import NoEdit
from stylerig_fast.evaluation.methods.style_mixing import StyleMixing
from stylerig_fast.evaluation.methods.training_sample import TrainingSample
from stylerig_fast.evaluation.metrics.frechet_distance import features
from stylerig_fast.evaluation.metrics.reconstructor_error import measure_reconstructor
from stylerig_fast.evaluation.metrics.registry import MetricInputs, compute_metrics, metric_goals
from stylerig_fast.evaluation.metrics.results import Report
from stylerig_fast.evaluation.metrics.rig import RIG_TITLE
from stylerig_fast.evaluation.paper_figures import (
    Grid,
    conditional,
    distributions,
    layer_influence,
    strips,
    transfer_grid,
)
from stylerig_fast.evaluation.picture_lab import PictureLab, Progress
from stylerig_fast.evaluation.plan import EvaluationPlan
from stylerig_fast.measurement.edit_method import EditMethod, RigMethod, ScaledMethod
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.edit_suite import compared_edits, standard_edits
from stylerig_fast.measurement.people import choose_people
from stylerig_fast.measurement.portrait_measures import PortraitStd, portrait_std
from stylerig_fast.measurement.range_sweep import Sweep, sweep_edits, sweeps
from stylerig_fast.reconstructor import FaceReconstructor


@dataclass
class Evaluation:
    """What was found.

    Attributes:
        plan: how much was measured.
        std: standard deviations of measures that changes are divided by.
        reconstructor, rig: estimates with their goals.
        measured: all measurements of the rig's edits.
        second_rig: estimates of the second rig, on the same people.
        scores: methods against each other.
        iso_identity: the rig beside each method at equal identity distance.
        sweeps: reach of the controls.
        layers: influence of each slot ``(num_ws,)``, by control.
        histograms: measures of training portraits ``(N,)``, by label.
        grids: pictures, by title.
        frechet_network: name of the network behind the Fréchet distance.
        seconds: wall time of each phase.
    """

    plan: EvaluationPlan
    std: PortraitStd
    reconstructor: Report
    rig: Report
    measured: MeasuredEdits
    second_rig: Report | None = None
    scores: list[MethodScore] = field(default_factory=list)
    iso_identity: list[IsoIdentityComparison] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    layers: dict[str, Tensor] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    frechet_network: str = "dlib's 128-d descriptor"
    seconds: dict[str, float] = field(default_factory=dict)


def evaluate(
    engine: Engine,
    held_out: PortraitSet,
    training: PortraitSet,
    plan: EvaluationPlan | None = None,
    *,
    second_rig: Engine | None = None,
    second_reconstructor: FaceReconstructor | None = None,
    identity_network: Path | None = None,
    realism_network: Path | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures a rig, and everything that it is compared with.

    Args:
        engine: the rig.
        held_out: people to edit.
        training: baselines are fitted on the first of these, and fresh portraits are taken from the end.
        plan: how much; the full plan by default.
        second_rig: another rig, measured on the same people.
        second_reconstructor: an independently trained F, which reads the edited codes.
        identity_network: ONNX file of a network for identity.
        realism_network: ONNX file of a network for the Fréchet distance.
        processes: that measure pictures beside this one, which renders them; 0 measures them here.
        progress: called with the phase, the pictures done and all of them.

    Raises:
        ValueError: the held-out set has fewer frontal people than the plan asks for.
        BackendUnavailable: dlib is not installed.
    """
    plan = plan or EvaluationPlan()
    networks = identity_network, realism_network
    with open_analyzers(engine.face_model, engine.camera, *networks, processes) as (analyzer, pool):
        lab = PictureLab(engine, analyzer, pool, plan, progress)
        people, donors = choose_people(held_out, analyzer.estimator, plan.people, seed=plan.seed)
        codes, donor_codes = held_out.ws(people), held_out.ws(donors)
        donor_degrees = analyzer.estimator.fit(held_out.landmarks[donors]).degrees
        std = portrait_std(held_out, analyzer.estimator)
        rigs = {"rig": engine} if second_rig is None else {"rig": engine, "second rig": second_rig}

        with lab.phase("reconstructor"):
            reconstructor = measure_reconstructor(engine.reconstructor, engine.face_model, engine.camera, held_out)

        # Each rig's own edits of everybody.
        edits, measured = standard_edits(engine.face_model.expression_names, plan.short), {}
        for name, rig in rigs.items():
            readers = {"training": rig.params}
            if second_reconstructor is not None:
                readers["second"] = second_reconstructor
            measured[name] = lab.measure_edits(
                name,
                {name: RigMethod(rig)},
                codes,
                edits,
                renderer=rig,
                donors=(donor_codes, donor_degrees),
                reconstructors=readers,
                background=background_change,
            )[name]
        rows = torch.arange(len(training))[-plan.fresh :]
        fresh = features(lab.measure_pictures("fresh portraits", training.ws(rows)))
        mirrored = lab.measure_pictures("mirror images", codes[: plan.mirrored], mirrored=True)

        # Every method's edits of some of the people.
        with lab.phase("fitting baselines"):
            baselines, sample = fit_methods(
                training.subset(slice(0, plan.fitted)), engine.reconstructor, analyzer.estimator, plan.seed
            )
        methods = {name: RigMethod(rig, foreign=name != "rig") for name, rig in rigs.items()} | baselines
        outcomes = _compare(lab, methods, codes[: plan.compared], std)

        shared = MetricInputs(std=std, fresh=fresh, outcomes=outcomes, seed=plan.seed)
        settings = {"people": plan.people, "seed": plan.seed, "resolution": plan.resolution, "std": std.origin}
        reports: dict[str, Report] = {}
        titles = {"rig": RIG_TITLE, "second rig": "Second rig on the same people"}
        with lab.phase("metrics"):
            for name in rigs:
                # The noise floor belongs to the estimators, and is reported once.
                mirror = mirrored if name == "rig" else None
                found = compute_metrics(replace(shared, measured=measured[name], mirrored=mirror, method=name))
                reports[name] = Report(titles[name], found, metric_goals(), settings)

        found_sweeps = sweeps(
            lab.measure_edits(
                "reach",
                {"rig": RigMethod(engine)},
                codes[: plan.swept],
                sweep_edits(engine.face_model.expression_names, plan.short),
            )["rig"]
        )
        evaluation = Evaluation(
            plan,
            std,
            reconstructor,
            reports["rig"],
            measured["rig"],
            reports.get("second rig"),
            [method_score(outcome) for outcome in outcomes],
            iso_identity_comparisons(outcomes, seed=plan.seed),
            found_sweeps,
            seconds=lab.seconds,
        )
        if realism_network is not None:
            evaluation.frechet_network = f"the network {realism_network.stem}"
        mixing = baselines["style mixing"]
        assert isinstance(mixing, StyleMixing)
        with lab.phase("pictures"):
            _draw(evaluation, engine, codes, donor_codes, sample, mixing)
    return evaluation


def _compare(
    lab: PictureLab, methods: Mapping[str, EditMethod], codes: Tensor, std: PortraitStd
) -> list[MethodOutcome]:
    """Every method at every strength."""
    scaled: dict[tuple[str, float], EditMethod] = {}
    for name, method in methods.items():
        for strength in (0.0,) if isinstance(method, NoEdit) else lab.plan.strengths:
            scaled[name, strength] = method if strength in (0.0, 1.0) else ScaledMethod(method, strength)
    keys = {f"{name} x{strength:g}": (name, strength) for name, strength in scaled}
    edits = compared_edits(lab.engine.face_model.expression_names, lab.plan.short)
    named = {name: scaled[key] for name, key in keys.items()}
    found = lab.measure_edits("comparison", named, codes, edits, background=background_change)
    return method_outcomes({key: found[name] for name, key in keys.items()}, std)


def _draw(
    evaluation: Evaluation,
    engine: Engine,
    codes: Tensor,
    donor_codes: Tensor,
    sample: TrainingSample,
    mixing: StyleMixing,
) -> None:
    """Adds the paper's figures."""
    plan = evaluation.plan
    few = 2 if plan.short else 4
    evaluation.layers = layer_influence(engine, codes[:64], sample)
    evaluation.histograms = distributions(sample)
    grids = evaluation.grids
    grids["Transfer against style mixing"] = transfer_grid(engine, codes[:few], donor_codes[:few], mixing)
    for index in range(1 if plan.short else 3):
        grids[f"One control at a time, person {index + 1}"] = strips(engine, codes[index : index + 1])
    grids["Conditional generation"] = conditional(engine, plan.seed, 4 if plan.short else 8)
