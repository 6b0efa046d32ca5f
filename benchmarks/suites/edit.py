"""``stylerig-bench edit``: the latency of single edits (MLPerf's SingleStream), with random people and sliders."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from stylerig_fast.engine import Engine

from ..harness.interleave import TimingPlan, interleave
from ..harness.latency_stats import latency_stats
from ..harness.options import SizeOptions
from ..harness.parity import Pixels, box_mean, compare
from ..harness.queries import Query
from ..harness.systems import SYSTEM_ERRORS, EngineSystem, System, edit_all
from ..report.output import write_outputs
from . import stages
from .parity_fields import parity_fields, preview_fields
from .session import BenchSession, Report, open_session


@dataclass(kw_only=True)
class EditBenchmark(SizeOptions):
    """Latency of single edits, rig included, from the request to the NumPy picture; parity is checked first."""

    samples: int = 100
    """Edits of each system, at least, and half as many of previews; p99 needs 100."""
    seconds: float = 5.0
    """Measured seconds of each system at each size, at least."""
    rounds: int = 10
    """Rounds in which the systems take turns, so that a disturbance meets all alike."""
    people: int = 4
    """People whose edits are compared with plain torch's before anything is timed."""
    edits: int = 4
    """Edits of each of them."""
    stages: int = 10
    """Edits that are timed stage by stage, in plain torch; 0 for none."""

    def run(self) -> None:
        with open_session("edit", self) as (current, report):
            report["edit"] = measure(current, self)
        write_outputs(report, self)


@dataclass(frozen=True)
class ComparedEdits:
    """Edits whose pictures are compared with plain torch's before anything is timed.

    Attributes:
        queries: one edit each.
        full: plain torch's pictures ``(R, R, 3)`` at the generator's resolution.
    """

    queries: list[Query]
    full: list[Pixels]


def measure(current: BenchSession, options: EditBenchmark) -> Report:
    """Rows of all sizes, and the stages of an edit at the largest."""
    full = current.networks.generator.resolution
    generator = current.queries()
    queries = [generator.draw(person=person) for person in range(options.people) for _ in range(options.edits)]
    plan = TimingPlan(options.rounds, options.samples, options.seconds)
    preview_plan = replace(plan, samples=-(-options.samples // 2))
    timed = generator.draw_many(min(64, plan.samples + plan.rounds))
    compared = ComparedEdits(queries, current.expected(queries, full))
    rows: list[dict[str, Any]] = []
    for side in options.sizes(full):
        rows += rows_of(current, side, compared, timed, plan if side == full else preview_plan)
    staged = timed[: options.stages]
    measured = stages.measure(_staged_engine(current), staged, full) if staged else []
    return {"rows": rows, "stages": [asdict(stage) for stage in measured], "stages of": full}


def _staged_engine(current: BenchSession) -> Engine:
    """The Engine whose networks are run stage by stage, on the device that is measured."""
    if current.device.type == "cpu":
        return current.networks.plain
    return current.networks.engine("torch", "float32", current.device)


def rows_of(
    current: BenchSession, side: int, compared: ComparedEdits, timed: list[Query], plan: TimingPlan
) -> list[dict[str, Any]]:
    """The rows of one size; a system that fails parity is not timed.

    Args:
        current: the run.
        side: height and width of the pictures.
        compared: edits whose pictures are compared.
        timed: edits that are timed, over and over.
        plan: how long.
    """
    full = current.networks.generator.resolution
    expected = compared.full if side == full else current.expected(compared.queries, side)
    rows: dict[int, dict[str, Any]] = {}
    passed: dict[int, System] = {}
    for index, system in enumerate(current.lineup.systems):
        if side != full and not system.previews:
            continue
        row: dict[str, Any] = {"name": system.name, "precision": system.precision, "resolution": side}
        rows[index] = row
        try:
            pictures = edit_all(system, compared.queries, side)
        except SYSTEM_ERRORS as error:
            row["refused"] = f"failed: {error}"
            continue
        row |= parity_fields(compare(pictures, expected), system.precision)
        if side != full:
            row |= preview_fields(compare(pictures, [box_mean(picture, side) for picture in compared.full]), row)
        if not row["refused"]:
            passed[index] = system
    times = interleave({index: _call(system, timed, side) for index, system in passed.items()}, plan)
    for index, rounds in times.items():
        row, system = rows[index], passed[index]
        row |= {
            "rounds": [[round(value, 4) for value in values] for values in rounds],
            "figures": asdict(latency_stats(rounds, current.seed)),
        }
        if isinstance(system, EngineSystem) and system.engine.device.type == "cuda":
            row |= device_times(system, timed, side)
    return list(rows.values())


def _call(system: System, queries: list[Query], side: int) -> Any:
    return lambda frame: system.edit(queries[frame % len(queries)], side)


def device_times(system: EngineSystem, queries: list[Query], side: int, count: int = 50) -> dict[str, float]:
    """Median milliseconds to enqueue an edit, and that the GPU works on it; neither includes the copy to the host.

    Args:
        system: on a CUDA device.
        queries: edits to choose from, in turn.
        side: height and width of the pictures.
        count: edits; each begins with an empty queue, so that the CPU never waits for an earlier one.
    """
    enqueue, device = [], []
    for frame in range(count):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start = time.perf_counter()
        begin.record()
        system.on_device(queries[frame % len(queries)], side)
        end.record()
        enqueue.append(1e3 * (time.perf_counter() - start))
        torch.cuda.synchronize()
        device.append(begin.elapsed_time(end))
    middle = count // 2
    return {"enqueue": sorted(enqueue)[middle], "device": sorted(device)[middle]}
