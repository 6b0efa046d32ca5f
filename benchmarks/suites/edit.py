"""``stylerig-bench edit``: SingleStream, one edit after the other with random people and random sliders."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from stylerig_fast.errors import StyleRigError

from ..harness.interleave import Plan, take_turns
from ..harness.latency_stats import figures
from ..harness.options import SizeOptions
from ..harness.parity import LOWEST_PREVIEW_PSNR, Parity, Pixels, box_mean, compare
from ..harness.queries import Request
from ..harness.systems import Contestant, EngineBackend, edit_all, is_cuda
from ..report.files import finish
from . import stages
from .session import Report, Session, session

# What a contestant may fail with and still leave the others their turn: its row says so.
FAILURES = (StyleRigError, ValueError, RuntimeError)


@dataclass(kw_only=True)
class Edit(SizeOptions):
    """Latency of single edits, rig included, from the request to the NumPy picture; parity first, then speed."""

    samples: int = 100
    """Edits of each contestant, at least, and half as many of previews; p99 needs 100."""
    seconds: float = 5.0
    """Measured seconds of each contestant at each size, at least."""
    rounds: int = 10
    """Turns that each contestant gets; they take turns so that disturbances meet all alike."""
    people: int = 4
    """People whose edits are compared with plain torch's before anything is timed."""
    edits: int = 4
    """Edits of each of them."""
    stages: int = 10
    """Edits that are timed stage by stage, in plain torch; 0 for none."""

    def run(self) -> None:
        with session("edit", self) as (current, report):
            report["edit"] = measure(current, self)
        finish(report, self)


def measure(current: Session, options: Edit) -> Report:
    """Rows of all sizes, and the stages of the largest."""
    full = current.parts.generator.resolution
    draw = current.requests()
    judged = [draw.draw(person=person) for person in range(options.people) for _ in range(options.edits)]
    plan = Plan(options.rounds, options.samples, options.seconds)
    short = replace(plan, samples=-(-options.samples // 2))
    asked = draw.list(min(64, plan.samples + plan.rounds))
    whole = current.reference(judged, full)
    rows: list[dict[str, Any]] = []
    for side in options.sizes(full):
        wanted = whole if side == full else current.reference(judged, side)
        rows += rows_of(current, side, judged, wanted, whole, asked, plan if side == full else short)
    timed = asked[: options.stages]
    found = stages.measure(staged_engine(current), timed, full) if timed else []
    return {"rows": rows, "stages": [asdict(stage) for stage in found], "stages of": full}


def staged_engine(current: Session) -> Any:
    """The Engine whose networks are run stage by stage, on the device that is measured."""
    if current.device.type == "cpu":
        return current.parts.plain
    return current.parts.engine("torch", "float32", current.device)


def rows_of(
    current: Session,
    side: int,
    judged: list[Request],
    wanted: list[Pixels],
    whole: list[Pixels],
    asked: list[Request],
    plan: Plan,
) -> list[dict[str, Any]]:
    """The rows of one size: who fails parity gets no time.

    Args:
        current: the run.
        side: size of the pictures.
        judged: requests whose pictures are compared.
        wanted: plain torch's pictures of them.
        whole: likewise in full size.
        asked: requests that are timed.
        plan: how long.
    """
    full = current.parts.generator.resolution
    rows, racing = {}, {}
    for index, contestant in enumerate(current.line.contestants):
        if side != full and not contestant.previews:
            continue
        row: dict[str, Any] = {"name": contestant.name, "precision": contestant.precision, "resolution": side}
        rows[index] = row
        try:
            pictures = edit_all(contestant, judged, side)
        except FAILURES as error:
            row["refused"] = f"failed: {error}"
            continue
        row |= judge(compare(pictures, wanted), contestant.precision)
        if side != full:
            row |= judge_preview(compare(pictures, [box_mean(picture, side) for picture in whole]), row)
        if not row["refused"]:
            racing[index] = contestant
    times = take_turns({index: _call(contestant, asked, side) for index, contestant in racing.items()}, plan)
    for index, rounds in times.items():
        row, contestant = rows[index], racing[index]
        row |= {
            "rounds": [[round(value, 4) for value in values] for values in rounds],
            "figures": asdict(figures(rounds, current.seed)),
        }
        if is_cuda(contestant):
            row |= device_times(contestant, asked, side)
    return list(rows.values())


def judge(parity: Parity, precision: str) -> dict[str, Any]:
    """The fields of a row that say how right it is, and why it is refused if it is not."""
    return {
        "max error": parity.max_error,
        "psnr": finite(parity.psnr),
        "lowest psnr": finite(parity.lowest_psnr),
        "pictures": parity.pictures,
        "refused": parity.failure(precision),
    }


def judge_preview(to_whole: Parity, row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a preview's row that say how well it stands for the whole picture.

    A preview is right if it is what plain torch makes at that size, or the box mean of the whole picture, which differs
    where pixels were cut off at black or white before the mean was taken. Preview heads are neither, and fast for it:
    what they are good for is said, and only nonsense is refused.

    Args:
        to_whole: parity with the box mean of the whole picture.
        row: judged against plain torch.
    """
    found: dict[str, Any] = {"psnr to full": finite(to_whole.psnr), "max error to full": to_whole.max_error}
    if row["refused"] and not to_whole.failure(row["precision"]):
        found["refused"] = ""
    elif row["refused"] and to_whole.lowest_psnr >= LOWEST_PREVIEW_PSNR:
        found |= {"refused": "", "approximate": True}
    return found


def finite(value: float) -> float | None:
    """JSON has no infinity: None is the ratio of pictures that are the same."""
    return value if math.isfinite(value) else None


def _call(contestant: Contestant, asked: list[Request], side: int) -> Any:
    return lambda frame: contestant.edit(asked[frame % len(asked)], side)


def device_times(contestant: EngineBackend, asked: list[Request], side: int, count: int = 50) -> dict[str, float]:
    """Medians of the time to enqueue an edit, and of the time the GPU works on it; neither holds the copy to the host.

    The queue is empty when an edit begins, so that the CPU never waits for an earlier one.
    """
    enqueue, device = [], []
    for frame in range(count):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start = time.perf_counter()
        begin.record()
        contestant.on_device(asked[frame % len(asked)], side)
        end.record()
        enqueue.append(1e3 * (time.perf_counter() - start))
        torch.cuda.synchronize()
        device.append(begin.elapsed_time(end))
    middle = count // 2
    return {"enqueue": sorted(enqueue)[middle], "device": sorted(device)[middle]}
