"""``stylerig-bench batch``: Offline, throughput when the requests are all there beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .contestants import Contestant
from .edit import FAILURES, judge
from .figures import figures
from .options import BenchOptions
from .parity import Pixels, compare
from .report import finish
from .requests import Request
from .rounds import Plan, take_turns
from .session import Report, Session, session

SIZES = (1, 2, 4, 8, 16, 32)


@dataclass(kw_only=True)
class Batch(BenchOptions):
    """Throughput of batches of edits, each person with sliders of their own, rig included."""

    batches: tuple[int, ...] = SIZES
    """People per call of `Engine.edit`."""
    calls: int = 3
    """Calls of each contestant for each size, one per turn."""

    def run(self) -> None:
        with session("batch", self) as (current, report):
            report["batch"] = measure(current, self)
        finish(report, self)


def measure(current: Session, options: Batch) -> Report:
    """Rows of all batch sizes, of those that pass parity at a batch."""
    if not options.batches or min(options.batches) < 1:
        raise ValueError(f"--batches {options.batches}: expected sizes of 1 and more")
    draw, full = current.requests(), current.parts.generator.resolution
    judged = draw.draw(min(4, max(options.batches)))
    wanted = current.reference([one_of(judged, row) for row in range(len(judged.w))], full)
    verdicts = [_verdict(contestant, judged, wanted, full) for contestant in current.line.contestants]
    rows: list[dict[str, Any]] = []
    for size in sorted(set(options.batches)):
        asked = [draw.draw(size) for _ in range(2)]
        found: dict[int, dict[str, Any]] = {}
        for index, contestant in enumerate(current.line.contestants):
            found[index] = {
                "name": contestant.name,
                "precision": contestant.precision,
                "batch": size,
                **verdicts[index],
            }
        racing = {i: _call(current.line.contestants[i], asked, full) for i, row in found.items() if not row["refused"]}
        # The first call of a size captures graphs and takes memory. After that a turn of long calls needs no warm-up.
        for call in racing.values():
            call(0)
        short = size <= 2 or current.device.type == "cuda"
        times = take_turns(racing, Plan(options.calls, options.calls, 0.0, warm_up=int(short)))
        for index, rounds in times.items():
            found[index] |= {
                "rounds": [[round(value, 3) for value in values] for values in rounds],
                "figures": asdict(figures(rounds, current.seed)),
            }
        rows += found.values()
    return {"rows": rows}


def one_of(request: Request, row: int) -> Request:
    """The request of one person of a batch; what is not per person stays."""
    count = len(request.w)

    def pick(value: Any) -> Any:
        return value[row : row + 1] if hasattr(value, "shape") and value.ndim and len(value) == count else value

    params = request.params
    asked = {kind: {name: pick(value) for name, value in values.items()} for kind, values in params.pending.items()}
    return Request(request.w[row : row + 1], type(params)(pending=asked))


def _verdict(contestant: Contestant, judged: Request, wanted: list[Pixels], side: int) -> dict[str, Any]:
    try:
        return judge(compare(contestant.edit(judged, side), wanted), contestant.precision)
    except FAILURES as error:
        return {"refused": f"failed: {error}"}


def _call(contestant: Contestant, asked: list[Request], side: int) -> Callable[[int], object]:
    return lambda frame: contestant.edit(asked[frame % len(asked)], side)
