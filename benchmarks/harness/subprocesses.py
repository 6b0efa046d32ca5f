"""Runs `cold_start` in a fresh process and reads its results."""

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
    """The argument of `cold_start`.

    Args:
        options: of the benchmark.
        device: to run on.
        resolution: of the pictures.
        backend: of the Engine; ignored with a peer.
        dtype: precision of the synthesis, as torch names it.
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


def run(job: dict[str, Any], limit: float = LIMIT) -> dict[str, Any]:
    """Runs the job in a fresh process and returns its results.

    Args:
        job: see `job`.
        limit: seconds.

    Raises:
        BackendUnavailable: the process failed, or took too long; it and its own children are then killed.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)}
    command = [sys.executable, "-m", f"{__package__}.cold_start"]
    process = subprocess.Popen(
        [*command, json.dumps(job | {"spawned": time.monotonic()})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # compilers start workers: all of them are killed with it
    )
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise BackendUnavailable(f"not done after {limit:.0f} s in a fresh process") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    lines = out.strip().splitlines()
    if process.returncode != 0 or not lines:
        reason = err.strip().splitlines()[-1] if err.strip() else f"exit status {process.returncode}"
        raise BackendUnavailable(f"failed in a fresh process: {reason}")
    result: dict[str, Any] = json.loads(lines[-1])
    if "error" in result:
        raise BackendUnavailable(result["error"])
    return result


def compiles_in_time(options: BenchOptions, device: torch.device, resolution: int) -> None:
    """Compiles with torch.compile in a fresh process, which can be stopped; afterwards it comes from the cache on disk.

    Args:
        options: with the time limit.
        device: to compile for.
        resolution: of the pictures.

    Raises:
        BackendUnavailable: compiling fails or takes longer than ``options.compile_limit``.
    """
    run(job(options, device, resolution, "", "float32", "compile") | {"frames": 0}, options.compile_limit)
