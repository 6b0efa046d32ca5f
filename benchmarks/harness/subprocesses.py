"""Running a fresh process and reading what it found: see `child`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from stylerig_fast.errors import BackendUnavailable

from .options import BenchOptions

LIMIT = 300.0


def job(
    options: BenchOptions,
    device: torch.device,
    resolution: int,
    backend: str,
    dtype: str,
    peer: str = "",
    graphs: Path | None = None,
) -> dict[str, Any]:
    """What a child is to do.

    Args:
        options: of the benchmark.
        device: where.
        resolution: of its pictures.
        backend: of the Engine; without meaning for a peer.
        dtype: its precision.
        peer: "eager", "compile" or "openvino" in place of a backend.
        graphs: folder of exported graphs in that precision.
    """
    return {
        "model": options.model,
        "generator": options.generator,
        "graphs": None if graphs is None else str(graphs),
        "backend": backend,
        "peer": peer,
        "device": str(device),
        "dtype": dtype,
        "resolution": resolution,
        "threads": torch.get_num_threads(),
        "seed": options.seed,
        "frames": 5,
    }


def run(work: dict[str, Any], limit: float = LIMIT) -> dict[str, Any]:
    """What the child prints.

    Raises:
        BackendUnavailable: it could not do it, or took too long; it and what it started are then ended.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    command = [sys.executable, "-m", f"{__package__}.cold_start"]
    process = subprocess.Popen(
        [*command, json.dumps(work | {"spawned": time.monotonic()})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # compilers start workers of their own: all of them are ended with it
    )
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise BackendUnavailable(f"not done after {limit:.0f} s in a process of its own") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    lines = out.strip().splitlines()
    if process.returncode != 0 or not lines:
        reason = err.strip().splitlines()[-1] if err.strip() else f"exit status {process.returncode}"
        raise BackendUnavailable(f"failed in a process of its own: {reason}")
    result: dict[str, Any] = json.loads(lines[-1])
    if "error" in result:
        raise BackendUnavailable(result["error"])
    return result


def compiles_in_time(options: BenchOptions, device: torch.device, resolution: int) -> None:
    """Compiles with torch.compile in a child first, which can be stopped; here it is then read from the disk's cache.

    Raises:
        BackendUnavailable: it fails or takes longer than ``options.compile_limit``.
    """
    work = job(options, device, resolution, "", "float32", "compile") | {"frames": 0}
    run(work, options.compile_limit)
