"""What a fresh process does for a benchmark: start up, answer the first request, say how much memory that took.

Run as a module by `children.run`, with one JSON object as its argument; prints one JSON object as its last line.
Nothing is imported up here that the product would not import: the imports are part of what is measured.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


class Laps:
    """Milliseconds of one stage after the other, since a moment on the system-wide monotonic clock."""

    def __init__(self, start: float) -> None:
        self.times: dict[str, float] = {}
        self._last = start

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.times[name] = 1e3 * (now - self._last)
        self._last = now


def start_up(job: dict[str, Any], laps: Laps) -> dict[str, object]:
    """Import, load, build, first frame; then a few more frames for the memory that running takes."""
    import torch

    laps.lap("import torch")
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    from stylerig_fast import FaceParams
    from stylerig_fast.engine import Engine

    laps.lap("import")
    if job["peer"] or job["generator"]:
        frame = _contestant(job, laps)
    else:
        engine = _timed_engine(job, laps)

        def frame() -> object:
            return engine.edit(engine.sample(job["seed"]), FaceParams().with_pose(yaw=10), resolution=job["resolution"])

    assert Engine is not None
    frame()
    laps.lap("first frame")
    first = peak_memory()
    took = []
    for _ in range(job["frames"]):
        start = time.monotonic()
        frame()
        took.append(1e3 * (time.monotonic() - start))
    result: dict[str, object] = {"laps": laps.times, "frames": took, "first peak": first, "peak": peak_memory()}
    if torch.cuda.is_available() and job["device"].startswith("cuda"):
        result["cuda peak"] = torch.cuda.max_memory_allocated()
        result["cuda reserved"] = torch.cuda.max_memory_reserved()
    return result


def _timed_engine(job: dict[str, Any], laps: Laps) -> Any:
    """`Engine.from_pretrained`, split where it has read the weights and begins to put the Engine together."""
    import torch

    from stylerig_fast.engine import Engine

    class Timed(Engine):
        def __init__(self, *args: Any, **options: Any) -> None:
            laps.lap("load")
            super().__init__(*args, **options)
            laps.lap("build")

    options = {"graphs": job["graphs"]} if job["graphs"] else {}
    return Timed.from_pretrained(
        job["model"], backend=job["backend"], device=job["device"], dtype=getattr(torch, job["dtype"]), **options
    )


def _contestant(job: dict[str, Any], laps: Laps) -> Any:
    """A peer, or a backend with an untrained generator: networks are then loaded as the benchmark itself loads them."""
    import torch

    from stylerig_fast import FaceParams

    from .networks import open_parts
    from .openvino_system import OpenVINO
    from .options import BenchOptions
    from .queries import Request
    from .systems import Contestant, EngineBackend, PlainTorch

    device = torch.device(job["device"])
    parts = open_parts(BenchOptions(model=job["model"], generator=job["generator"]))
    if job["graphs"]:
        parts.graphs[job["dtype"]] = Path(job["graphs"])
    laps.lap("load")
    contestant: Contestant
    if job["peer"] == "openvino":
        contestant = OpenVINO(parts.plain, job["dtype"], device)
    elif job["peer"]:
        contestant = PlainTorch(parts, device, compiled=job["peer"] == "compile")
    else:
        contestant = EngineBackend(parts, job["backend"], job["dtype"], device)
    laps.lap("build")

    def frame() -> object:
        request = Request(parts.plain.sample(job["seed"]), FaceParams().with_pose(yaw=10))
        return contestant.edit(request, job["resolution"])

    return frame


def peak_memory() -> int | None:
    """The most memory that this process has held, in bytes; None where the system does not tell.

    VmHWM and not ru_maxrss: the latter of a child starts at what its parent held when it was forked.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


def main() -> int:
    job = json.loads(sys.argv[1])
    laps = Laps(job["spawned"])
    laps.lap("interpreter")
    from stylerig_fast.errors import StyleRigError

    try:
        result = start_up(job, laps)
    except StyleRigError as error:
        result = {"error": str(error)}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
