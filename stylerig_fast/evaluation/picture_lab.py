"""Renders pictures for an evaluation and has them measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from stylerig_fast.engine import Engine
from stylerig_fast.evaluation.plan import EvaluationPlan
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.edit_method import EditMethod
from stylerig_fast.measurement.edit_runner import MeasuredEdits, measure_methods
from stylerig_fast.measurement.edit_suite import Edit
from stylerig_fast.measurement.measurements import Measurements
from stylerig_fast.measurement.parallel import PictureAnalyzer

Progress = Callable[[str, int, int], None]  # phase, pictures done, pictures in all


class PictureLab:
    """Renders pictures and has them measured, as the plan says; keeps the time of each phase.

    Args:
        engine: renders.
        analyzer: of rendered face models.
        pool: of pictures.
        plan: resolution and batch.
        progress: as of `evaluate`.
    """

    def __init__(
        self,
        engine: Engine,
        analyzer: FaceAnalyzer,
        pool: PictureAnalyzer,
        plan: EvaluationPlan,
        progress: Progress | None,
    ) -> None:
        self.engine, self.analyzer, self.pool, self.plan, self.progress = engine, analyzer, pool, plan, progress
        self.seconds: dict[str, float] = {}

    def measure_edits(
        self,
        phase: str,
        methods: Mapping[str, EditMethod],
        codes: Tensor,
        edits: Sequence[Edit],
        renderer: Engine | None = None,
        **options: Any,
    ) -> dict[str, MeasuredEdits]:
        """`measure_methods`, with ``options`` of it, by ``renderer`` or else the engine."""
        per_person = len(methods) * (len(edits) + ("donors" in options))
        with self.phase(phase):
            return measure_methods(
                renderer or self.engine,
                self.analyzer,
                methods,
                codes,
                edits,
                pool=self.pool,
                batch=self.plan.batch,
                resolution=self.plan.resolution,
                progress=self._counter(phase, len(codes) * (1 + per_person)),
                **options,
            )

    def measure_pictures(self, phase: str, codes: Tensor, mirrored: bool = False) -> Measurements:
        """Measures the portraits of codes, or their mirror images."""
        with self.phase(phase):
            count, done, pending = self._counter(phase, len(codes)), 0, []
            for part in codes.split(self.plan.batch):
                image = self.engine.render(part, output="torch", resolution=self.plan.resolution).cpu()
                pending.append(self.pool.submit(image.flip(2).contiguous() if mirrored else image))
                done += len(part)
                count(done)
            return Measurements.cat([each() for each in pending])

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time within to that of a phase."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def _counter(self, phase: str, total: int) -> Callable[[int], None]:
        def count(done: int) -> None:
            if self.progress is not None:
                self.progress(phase, done, total)

        return count
