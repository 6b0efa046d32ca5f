"""The studio in a process of its own, for ``stylerig-bench studio``: with the Engine, or with pictures made beforehand.

The module runs with one JSON object as its argument, prints one line of JSON with its address when it listens, and ends
when its standard input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylerig_fast.errors import BackendUnavailable

# Number of pictures made beforehand: encoding the same one again and again would profit from warm caches.
PICTURES = 8
STOP = 20.0


def instant(engine: Any) -> Any:
    """Makes an Engine answer with pictures that were made beforehand, so that only the studio is measured."""
    from stylerig_fast import FaceParams

    pictures: dict[int, list[NDArray[np.uint8]]] = {}
    made = engine.edit
    turns = iter(range(sys.maxsize))

    def edit(w: Any, params: Any, *, resolution: int | None = None, **_: Any) -> NDArray[np.uint8]:
        size = resolution or engine.resolution
        if size not in pictures:
            yaws = np.linspace(-20, 20, PICTURES).tolist()
            pictures[size] = [made(w, FaceParams().with_pose(yaw=yaw), resolution=size) for yaw in yaws]
        return pictures[size][next(turns) % PICTURES].copy()

    engine.edit = edit
    engine.render = lambda w, *, resolution=None, **_: edit(w, None, resolution=resolution)
    return engine


def serve(job: dict[str, Any]) -> None:
    """Serves until standard input ends."""
    import torch

    from stylerig_fast import Engine
    from stylerig_fast.studio.app import create_app
    from stylerig_fast.studio.serve import running as listening

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    engine = Engine.from_pretrained(job["model"], device=job["device"])
    app = create_app(instant(engine) if job["instant"] else engine, preview=job["preview"])
    with listening(app) as address:
        print(json.dumps({"origin": address.url.rstrip("/")}), flush=True)
        sys.stdin.read()


@contextmanager
def running(job: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Starts a server in a fresh process; yields its origin and its process id.

    Raises:
        BackendUnavailable: it does not start.
    """
    command = [sys.executable, "-m", "stylerig_fast.benchmarks.suites.studio_server", json.dumps(job)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise BackendUnavailable(f"the studio did not start (exit status {process.wait()}); its error is above")
        yield json.loads(line)["origin"], process.pid
    finally:
        process.stdin.close()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
