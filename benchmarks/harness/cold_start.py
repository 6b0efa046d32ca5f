"""A cold start, timed from inside: import, load, build, first edit, and the memory that they take.

`subprocesses.run` starts this module in a fresh process with one JSON object as its argument; it prints one JSON object
as its last line. The imports are part of what is measured, so the module itself imports only the standard library.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


class Laps:
    """Milliseconds of consecutive stages, from a moment of the system-wide monotonic clock."""

    def __init__(self, start: float) -> None:
        self.times: dict[str, float] = {}
        self._last = start

    def lap(self, name: str) -> None:
        """Ends the stage ``name``."""
        now = time.monotonic()
        self.times[name] = 1e3 * (now - self._last)
        self._last = now


def start_up(job: dict[str, Any], laps: Laps) -> dict[str, object]:
    """Imports, loads, builds and edits; then edits a few more times for the memory that takes.

    Args:
        job: see `subprocesses.job`.
        laps: started when the process was.
    """
    import torch

    laps.lap("import torch")
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    from stylerig_fast import FaceParams
    from stylerig_fast.engine import Engine

    laps.lap("import")
    if job["peer"] or job["generator"]:
        frame = _system(job, laps)
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
    """`Engine.from_pretrained`, with the time until it has read the weights apart from the rest."""
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


def _system(job: dict[str, Any], laps: Laps) -> Any:
    """A peer, or a backend with another generator: the networks are loaded as the benchmark itself loads them."""
    import torch

    from stylerig_fast import FaceParams

    from .networks import open_networks
    from .openvino_system import OpenVINOSystem
    from .options import BenchOptions
    from .queries import Query
    from .systems import EngineSystem, System, TorchSystem

    device = torch.device(job["device"])
    networks = open_networks(BenchOptions(model=job["model"], generator=job["generator"]))
    if job["graphs"]:
        networks.graphs[job["dtype"]] = Path(job["graphs"])
    laps.lap("load")
    system: System
    if job["peer"] == "openvino":
        system = OpenVINOSystem(networks.plain, job["dtype"], device)
    elif job["peer"]:
        system = TorchSystem(networks, device, compiled=job["peer"] == "compile")
    else:
        system = EngineSystem(networks, job["backend"], job["dtype"], device)
    laps.lap("build")

    def frame() -> object:
        query = Query(networks.plain.sample(job["seed"]), FaceParams().with_pose(yaw=10))
        return system.edit(query, job["resolution"])

    return frame


def peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None where /proc does not tell.

    VmHWM and not ru_maxrss, which in a child starts at the memory of its parent when it was forked.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


def main() -> int:
    """Times a first edit in this process and prints the laps as JSON."""
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
