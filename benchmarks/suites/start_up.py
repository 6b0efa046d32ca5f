"""``stylerig-bench start-up``: from nothing to the first picture in a fresh process, and the memory that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stylerig_fast.errors import BackendUnavailable

from ..harness.openvino_system import OpenVINOSystem
from ..harness.options import BenchOptions
from ..harness.parity import compare
from ..harness.subprocesses import job, run
from ..harness.systems import SYSTEM_ERRORS, TorchSystem
from ..report.output import write_outputs
from .parity_fields import parity_fields
from .session import BenchSession, Report, open_session


@dataclass(kw_only=True)
class StartUpBenchmark(BenchOptions):
    """Cold start in fresh processes, split into import, load, build and first frame; peak memory of each process."""

    times: int = 3
    """Processes of each system; the systems take turns."""

    def run(self) -> None:
        with open_session("start-up", self) as (current, report):
            report["start-up"] = measure(current, self)
        write_outputs(report, self)


def measure(current: BenchSession, options: StartUpBenchmark) -> Report:
    """Rows of all systems. Files come from the operating system's cache: the process is fresh, the machine is not."""
    side = current.networks.generator.resolution
    generator = current.queries()
    compared = [generator.draw(person=person) for person in range(4)]
    expected = current.expected(compared, side)
    rows: list[dict[str, Any]] = []
    jobs: list[dict[str, Any]] = []
    for system in current.lineup.systems:
        row = {"name": system.name, "precision": system.precision, "runs": []}
        try:
            pictures = [system.edit(query, side)[0] for query in compared]
            row |= parity_fields(compare(pictures, expected), system.precision)
        except SYSTEM_ERRORS as error:
            row["refused"] = f"failed: {error}"
        rows.append(row)
        graphs = getattr(system, "graphs", None)
        jobs.append(job(options, current.device, side, *_named(system), graphs))
    for _ in range(options.times):
        for row, each in zip(rows, jobs, strict=True):
            if row["refused"]:
                continue
            try:
                row["runs"].append(run(each))
            except BackendUnavailable as error:
                row["refused"] = f"failed: {error}"
    return {"rows": rows}


def _named(system: Any) -> tuple[str, str, str]:
    """Backend, precision and peer, as the job of a child process names them."""
    if isinstance(system, OpenVINOSystem):
        return "", system.precision, "openvino"
    if isinstance(system, TorchSystem):
        return "", system.precision, "eager" if system.previews else "compile"
    return system.name, system.precision, ""
