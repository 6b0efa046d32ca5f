"""The whole evaluation of a rig: its figures, the baselines beside it, its reach, its pictures; one object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.comparison import Answers, Row, answers, outside_figures, row
from stylerig_fast.evaluation.heldout_estimators.background import background_change
from stylerig_fast.evaluation.iso_identity import Standing, standings
from stylerig_fast.evaluation.methods import NoEdit, Sample, StyleMixing, fit_baselines
from stylerig_fast.evaluation.metrics.frechet_distance import features, realism_figures
from stylerig_fast.evaluation.metrics.noise_floor import mirror_figures
from stylerig_fast.evaluation.metrics.reconstructor_error import measure_reconstructor
from stylerig_fast.evaluation.metrics.results import Goal, Report
from stylerig_fast.evaluation.metrics.rig import GOALS, rig_figures
from stylerig_fast.evaluation.paper_figures import (
    Grid,
    conditional,
    distributions,
    layer_influence,
    strips,
    transfer_grid,
)
from stylerig_fast.measurement.analyzer import FaceAnalyzer, Measurements
from stylerig_fast.measurement.edit_method import EditMethod, RigMethod, Scaled
from stylerig_fast.measurement.edit_runner import Measured, choose_people, measure_methods
from stylerig_fast.measurement.edit_suite import MEASURE, Request, compared_requests, standard_requests
from stylerig_fast.measurement.parallel import PictureAnalyzer
from stylerig_fast.measurement.range_sweep import Sweep, sweep_requests, sweeps
from stylerig_fast.measurement.statistics import Figure
from stylerig_fast.reconstruction import FaceReconstructor

Progress = Callable[[str, int, int], None]  # phase, pictures done, pictures in all
# Those that need more than the rig's own edits: fresh portraits, and another method's edits of the same people.
MORE_GOALS = {
    "frechet.edited_over_unedited": Goal(high=1.15),
    **{f"outside.{kind}_over_style_mixing": Goal(high=0.5) for kind in MEASURE},
}


@dataclass(frozen=True)
class Plan:
    """How much is measured; `Plan.quick` for a first look.

    Attributes:
        people: who are edited by the rig. compared: of them, who are edited by every method.
        swept: of them, on whom the controls' reach is measured. mirrored: of them, who are also seen in the mirror.
        fresh: other portraits for the Fréchet distance.
        fitted: training portraits that baselines are fitted on.
        strengths: of every method's edits in the comparison, 1 among them.
        short: fewer steps per edit.
    """

    people: int = 500
    compared: int = 24
    swept: int = 40
    mirrored: int = 100
    fresh: int = 1000
    fitted: int = 4000
    strengths: tuple[float, ...] = (0.7, 1.0, 1.3)
    short: bool = False
    seed: int = 0
    resolution: int = 512
    batch: int = 4

    @staticmethod
    def quick(people: int = 32, seed: int = 0, resolution: int = 512) -> Plan:
        return Plan(people, min(6, people), min(5, people), people, 128, 1500, (1.0,), True, seed, resolution)


@dataclass
class Study:
    """What was found.

    Attributes:
        plan: how much was measured.
        reconstructor, rig: figures with their goals.
        measured: all that was seen of the rig's edits.
        other: figures of the second rig, on the same people.
        rows: methods against each other. standings: the rig beside each at equal identity distance.
        sweeps: reach of the controls.
        layers: influence of each slot, by control.
        histograms: measures of training portraits.
        grids: pictures, by title.
        seconds: wall time of each phase.
    """

    plan: Plan
    reconstructor: Report
    rig: Report
    measured: Measured
    other: Report | None = None
    rows: list[Row] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    sweeps: list[Sweep] = field(default_factory=list)
    layers: dict[str, Tensor] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def run_study(
    engine: Engine,
    held_out: PortraitSet,
    training: PortraitSet,
    analyzer: FaceAnalyzer,
    pool: PictureAnalyzer,
    plan: Plan,
    second: FaceReconstructor | None = None,
    other: Engine | None = None,
    progress: Progress | None = None,
) -> Study:
    """Measures everything.

    Args:
        engine: the rig; its reach is not asked.
        held_out: people to edit. training: what baselines are fitted on, and fresh portraits are taken from the end.
        analyzer: of rendered face models. pool: of pictures.
        plan: how much.
        second: an independently trained F, asked what it sees in the edited codes.
        other: a second rig to set beside the first.
        progress: called with the phase, the pictures done and all of them.
    """
    return _Work(engine, held_out, training, analyzer, pool, plan, second, other, progress).run()


class _Work:
    def __init__(
        self,
        engine: Engine,
        held_out: PortraitSet,
        training: PortraitSet,
        analyzer: FaceAnalyzer,
        pool: PictureAnalyzer,
        plan: Plan,
        second: FaceReconstructor | None,
        other: Engine | None,
        progress: Progress | None,
    ) -> None:
        self.engine, self.held_out, self.training = engine, held_out, training
        self.analyzer, self.pool, self.plan = analyzer, pool, plan
        self.second, self.other, self.progress = second, other, progress
        self.seconds: dict[str, float] = {}
        self.units = engine.face_model.expression_names
        people, sources = choose_people(held_out, analyzer.estimator, plan.people, seed=plan.seed)
        self.codes, self.source_codes = held_out.ws(people), held_out.ws(sources)
        self.source_degrees = analyzer.estimator.fit(held_out.landmarks[sources]).degrees

    def run(self) -> Study:
        plan, engine = self.plan, self.engine
        with self._phase("reconstructor"):
            reconstructor = measure_reconstructor(engine.reconstructor, engine.face_model, engine.camera, self.held_out)
        measured, figures = self._rig("rig", engine)
        fresh = self._fresh()
        with self._phase("realism"):
            figures |= realism_figures(measured, fresh, plan.seed)
        figures |= mirror_figures(measured.before, self._mirrored())
        beside: dict[str, Figure] = {}
        if self.other is not None:
            second, beside = self._rig("second rig", self.other)
            beside |= realism_figures(second, fresh, plan.seed)
        with self._phase("fitting baselines"):
            baselines, sample = fit_baselines(
                self.training.subset(slice(0, plan.fitted)), engine.reconstructor, self.analyzer.estimator, plan.seed
            )
        compared = self._compare(baselines)
        figures |= outside_figures(compared, "rig", "style mixing")
        settings: dict[str, object] = {"people": plan.people, "seed": plan.seed, "resolution": plan.resolution}
        goals = GOALS | MORE_GOALS
        report = Report("Rig on held-out people, judged on the picture", figures, goals, settings)
        study = Study(plan, reconstructor, report, measured, seconds=self.seconds)
        if beside:
            beside |= outside_figures(compared, "second rig", "style mixing")
            study.other = Report("Second rig on the same people", beside, goals, settings)
        study.rows = [row(answer) for answer in compared]
        study.standings = standings(compared, seed=plan.seed)
        study.sweeps = self._sweep()
        mixing = baselines["style mixing"]
        assert isinstance(mixing, StyleMixing)
        with self._phase("pictures"):
            self._draw(study, sample, mixing)
        return study

    def _rig(self, phase: str, engine: Engine) -> tuple[Measured, dict[str, Figure]]:
        requests = standard_requests(self.units, self.plan.short)
        witnesses = {"own": engine.params}
        if self.second is not None:
            witnesses["second"] = self.second
        sources, rig = (self.source_codes, self.source_degrees), {"rig": RigMethod(engine)}
        options = {"sources": sources, "witnesses": witnesses, "background": background_change}
        measured = self._measured(phase, rig, self.codes, requests, engine, **options)["rig"]
        return measured, rig_figures(measured)

    def _measured(
        self,
        phase: str,
        methods: Mapping[str, EditMethod],
        codes: Tensor,
        requests: Sequence[Request],
        engine: Engine,
        **options: Any,
    ) -> dict[str, Measured]:
        """`measure_methods` of a phase; ``engine`` renders."""
        edits = len(methods) * (len(requests) + ("sources" in options))
        with self._phase(phase):
            return measure_methods(
                engine,
                self.analyzer,
                methods,
                codes,
                requests,
                pool=self.pool,
                batch=self.plan.batch,
                resolution=self.plan.resolution,
                progress=self._count(phase, len(codes) * (1 + edits)),
                **options,
            )

    def _fresh(self) -> Tensor:
        """Features of portraits nobody edited, from the end of the training set."""
        rows = torch.arange(len(self.training))[-self.plan.fresh :]
        return features(self._look("fresh portraits", [self.training.ws(part) for part in rows.split(self.plan.batch)]))

    def _mirrored(self) -> Measurements:
        """The first people's mirror images."""
        codes = self.codes[: self.plan.mirrored].split(self.plan.batch)
        return self._look("mirror images", codes, mirrored=True)

    def _look(self, phase: str, codes: Sequence[Tensor], mirrored: bool = False) -> Measurements:
        total = sum(map(len, codes))
        with self._phase(phase):
            count, done, seen = self._count(phase, total), 0, []
            for code in codes:
                image = self.engine.render(code, output="torch", resolution=self.plan.resolution).cpu()
                seen.append(self.pool.submit(image.flip(2).contiguous() if mirrored else image))
                done += len(code)
                count(done)
            return Measurements.cat([look() for look in seen])

    def _compare(self, baselines: Mapping[str, EditMethod]) -> list[Answers]:
        plan, codes = self.plan, self.codes[: self.plan.compared]
        methods: dict[str, EditMethod] = {"rig": RigMethod(self.engine)}
        if self.other is not None:
            methods["second rig"] = RigMethod(self.other, foreign=True)
        methods |= baselines
        editors: dict[tuple[str, float], EditMethod] = {}
        for name, editor in methods.items():
            strengths = (0.0,) if isinstance(editor, NoEdit) else plan.strengths
            for strength in strengths:
                editors[name, strength] = editor if strength in (0.0, 1.0) else Scaled(editor, strength)
        requests = compared_requests(self.units, plan.short)
        keyed = {f"{name} x{strength:g}": key for key in editors for name, strength in [key]}
        named = {name: editors[key] for name, key in keyed.items()}
        found = self._measured("comparison", named, codes, requests, self.engine, background=background_change)
        return answers({key: found[name] for name, key in keyed.items()})

    def _sweep(self) -> list[Sweep]:
        codes, asked = self.codes[: self.plan.swept], sweep_requests(self.units, self.plan.short)
        requests, rig = [request for *_, request in asked], {"rig": RigMethod(self.engine)}
        measured = self._measured("reach", rig, codes, requests, self.engine)["rig"]
        return sweeps(asked, measured)

    def _draw(self, study: Study, sample: Sample, mixing: StyleMixing) -> None:
        engine, few = self.engine, 2 if self.plan.short else 4
        study.layers = layer_influence(engine, self.codes[:64], sample)
        study.histograms = distributions(sample)
        grids = study.grids
        grids["Transfer against style mixing"] = transfer_grid(
            engine, self.codes[:few], self.source_codes[:few], mixing
        )
        for index in range(1 if self.plan.short else 3):
            grids[f"One control at a time, person {index + 1}"] = strips(engine, self.codes[index : index + 1])
        grids["Conditional generation"] = conditional(engine, self.plan.seed, 4 if self.plan.short else 8)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def _count(self, phase: str, total: int) -> Callable[[int], None]:
        def count(done: int) -> None:
            if self.progress is not None:
                self.progress(phase, done, total)

        return count
