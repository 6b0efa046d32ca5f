"""``stylerig-bench batch``: throughput when all edits are known beforehand (MLPerf's Offline)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ..harness.interleave import TimingPlan, interleave
from ..harness.latency_stats import latency_stats
from ..harness.options import BenchOptions
from ..harness.parity import Pixels, compare
from ..harness.queries import Query, one_of
from ..harness.systems import SYSTEM_ERRORS, System
from ..report.output import write_outputs
from .parity_fields import parity_fields
from .session import BenchSession, Report, open_session

SIZES = (1, 2, 4, 8, 16, 32)


@dataclass(kw_only=True)
class BatchBenchmark(BenchOptions):
    """Throughput of batches of edits, rig included, each person with sliders of their own."""

    batches: tuple[int, ...] = SIZES
    """Batch sizes: people per call of `Engine.edit`."""
    calls: int = 3
    """Calls of each system for each size, one per round."""

    def run(self) -> None:
        with open_session("batch", self) as (current, report):
            report["batch"] = measure(current, self)
        write_outputs(report, self)


def measure(current: BenchSession, options: BatchBenchmark) -> Report:
    """Rows of all batch sizes; a system that fails parity on a small batch is not timed."""
    if not options.batches or min(options.batches) < 1:
        raise ValueError(f"--batches {options.batches}: expected sizes of 1 and more")
    generator, full = current.queries(), current.networks.generator.resolution
    compared = generator.draw(min(4, max(options.batches)))
    expected = current.expected([one_of(compared, row) for row in range(len(compared.w))], full)
    parities = [_parity(system, compared, expected, full) for system in current.lineup.systems]
    rows: list[dict[str, Any]] = []
    for size in sorted(set(options.batches)):
        queries = [generator.draw(size) for _ in range(2)]
        here: dict[int, dict[str, Any]] = {}
        for index, system in enumerate(current.lineup.systems):
            here[index] = {"name": system.name, "precision": system.precision, "batch": size, **parities[index]}
        calls = {i: _call(current.lineup.systems[i], queries, full) for i, row in here.items() if not row["refused"]}
        # The first call of a size captures graphs and allocates memory. After that a long call needs no warm-up.
        for call in calls.values():
            call(0)
        short = size <= 2 or current.device.type == "cuda"
        times = interleave(calls, TimingPlan(options.calls, options.calls, 0.0, warm_up=int(short)))
        for index, rounds in times.items():
            here[index] |= {
                "rounds": [[round(value, 3) for value in values] for values in rounds],
                "figures": asdict(latency_stats(rounds, current.seed)),
            }
        rows += here.values()
    return {"rows": rows}


def _parity(system: System, query: Query, expected: list[Pixels], side: int) -> dict[str, Any]:
    try:
        return parity_fields(compare(system.edit(query, side), expected), system.precision)
    except SYSTEM_ERRORS as error:
        return {"refused": f"failed: {error}"}


def _call(system: System, queries: list[Query], side: int) -> Callable[[int], object]:
    return lambda frame: system.edit(queries[frame % len(queries)], side)
