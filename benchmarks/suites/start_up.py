"""``stylerig-bench start-up``: from nothing to the first picture in a fresh process, and the memory that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stylerig_fast.errors import BackendUnavailable

from ..harness.openvino_system import OpenVINO
from ..harness.options import BenchOptions
from ..harness.parity import compare
from ..harness.subprocesses import job, run
from ..harness.systems import PlainTorch
from ..report.files import finish
from .edit import FAILURES, judge
from .session import Report, Session, session

STAGES = ("interpreter", "import torch", "import", "load", "build", "first frame")


@dataclass(kw_only=True)
class StartUp(BenchOptions):
    """Cold start in fresh processes, split into import, load, build and first frame; peak memory of each process."""

    times: int = 3
    """Processes of each contestant; they take turns."""

    def run(self) -> None:
        with session("start-up", self) as (current, report):
            report["start-up"] = measure(current, self)
        finish(report, self)


def measure(current: Session, options: StartUp) -> Report:
    """Rows of all contestants. Files come from the disk's cache: a process is fresh, the machine is not."""
    side = current.parts.generator.resolution
    draw = current.requests()
    judged = [draw.draw(person=person) for person in range(4)]
    wanted = current.reference(judged, side)
    rows: list[dict[str, Any]] = []
    works: list[dict[str, Any]] = []
    for contestant in current.line.contestants:
        row = {"name": contestant.name, "precision": contestant.precision, "runs": []}
        try:
            found = [contestant.edit(request, side)[0] for request in judged]
            row |= judge(compare(found, wanted), contestant.precision)
        except FAILURES as error:
            row["refused"] = f"failed: {error}"
        rows.append(row)
        graphs = getattr(contestant, "graphs", None)
        works.append(job(options, current.device, side, *_what(contestant), graphs))
    for _ in range(options.times):
        for row, work in zip(rows, works, strict=True):
            if row["refused"]:
                continue
            try:
                row["runs"].append(run(work))
            except BackendUnavailable as error:
                row["refused"] = f"failed: {error}"
    return {"rows": rows}


def _what(contestant: Any) -> tuple[str, str, str]:
    """Backend, precision and peer, as a child's job names them."""
    if isinstance(contestant, OpenVINO):
        return "", contestant.precision, "openvino"
    if isinstance(contestant, PlainTorch):
        return "", contestant.precision, "eager" if contestant.previews else "compile"
    return contestant.name, contestant.precision, ""
