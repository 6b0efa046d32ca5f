"""``stylerig-bench studio``: the studio's own time on top of the Engine's, its throughput, its memory."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stylerig_fast.errors import BackendUnavailable

from ..harness.latency_stats import latency_stats
from ..harness.options import BenchOptions
from ..report.output import check_outputs, write_outputs
from .session import Report, recorded
from .studio_browser import move_slider
from .studio_client import StudioClient, connect, consecutive_edits, stream_edits
from .studio_server import running

WARM_UP = 20
CLIENTS = (1, 2)
# Readings of the memory over its frames.
READINGS = 20


@dataclass(kw_only=True)
class StudioBenchmark(BenchOptions):
    """The browser studio: its own time on top of the Engine's, pictures per second, a slider in Chromium, memory.

    Pictures are made beforehand, so that only the studio is measured, except for the slider, which shows the Engine's
    previews. The server runs in a process of its own; its clients share the machine with it.
    """

    size: int = 512
    """Height of the pictures in pixels."""
    preview: int = 256
    """Height in pixels of the previews that a moving slider requests."""
    samples: int = 300
    """Consecutive edits."""
    seconds: float = 5.0
    """Measured seconds of each throughput."""
    frames: int = 10_000
    """Pictures over which the memory is measured; 0 leaves that out."""
    moves: int = 40
    """Moves of a slider in headless Chromium, if Playwright can be imported; 0 leaves that out."""
    chromium: Path | None = None
    """The browser; by default the one called chromium, or Playwright's own."""

    def run(self) -> None:
        check_outputs(self)
        device = self.where()
        with recorded("studio", device) as report:
            report["studio"] = measure(self, device)
        write_outputs(report, self)


def measure(options: StudioBenchmark, device: torch.device) -> Report:
    """All measurements, with a server that answers at once and with one of the Engine."""
    rows: list[dict[str, Any]] = []
    results: Report = {"size": options.size, "preview": options.preview, "rows": rows}
    with running(_job(options, device, instant=True)) as (origin, process):
        rows += asyncio.run(of_server(options, origin))
        results["throughput"] = [asyncio.run(throughput(options, origin, count)) for count in CLIENTS]
        if options.frames:
            print(f"measuring: memory over {options.frames} pictures", flush=True)
            results["memory"] = asyncio.run(memory(options, origin, process))
    with running(_job(options, device, instant=False)) as (origin, _):
        rows += asyncio.run(of_engine(options, origin))
        if options.moves:
            try:
                print("measuring: a slider in Chromium", flush=True)
                moved = move_slider(origin, options.moves, options.chromium)
                rows += [row(name, values, options) for name, values in moved.items()]
            except BackendUnavailable as error:
                results["refused"] = f"a slider in Chromium: {error}"
    return results


def row(name: str, values: list[float], options: StudioBenchmark) -> dict[str, Any]:
    """A row as `compare` and the tables read it: one round of measurements, and their statistics."""
    rounds = [[round(value, 4) for value in values]]
    return {"name": name, "rounds": rounds, "figures": asdict(latency_stats(rounds, options.seed))}


def _job(options: StudioBenchmark, device: torch.device, instant: bool) -> dict[str, Any]:
    shared = {"model": options.model, "device": str(device), "threads": torch.get_num_threads()}
    return shared | {"instant": instant, "preview": options.preview}


def sway() -> Iterator[float]:
    """Yaw in degrees of a head that turns to and fro, never the same twice in a row."""
    return (20 * math.sin(step / 7) for step in itertools.count())


async def of_server(options: StudioBenchmark, origin: str) -> list[dict[str, Any]]:
    """Rows of the studio's own time: the pictures are made beforehand."""
    async with connect(origin) as client:
        print("measuring: one edit after the other", flush=True)
        await consecutive_edits(client, itertools.islice(sway(), WARM_UP), options.size)
        edits = await consecutive_edits(client, itertools.islice(sway(), options.samples), options.size)
    overhead, encode = [edit["trip"] - edit["render"] for edit in edits], [edit["encode"] for edit in edits]
    return [
        row(f"the studio's own time, {options.size} px", overhead, options),
        row(f"of that, the JPEG of {options.size} px", encode, options),
    ]


async def throughput(options: StudioBenchmark, origin: str, count: int) -> Report:
    """Pictures per second of each of ``count`` concurrent clients."""
    print(f"measuring: pictures/s of {count}", flush=True)
    contexts = [connect(origin, seed) for seed in range(count)]
    clients: list[StudioClient] = [await context.__aenter__() for context in contexts]
    try:
        start = time.perf_counter()
        until = start + options.seconds
        counted = await asyncio.gather(*(stream_edits(client, sway(), options.size, until) for client in clients))
        spent = time.perf_counter() - start
    finally:
        for context in contexts:
            await context.__aexit__(None, None, None)
    return {"clients": count, "pictures/s": [frames / spent for frames in counted], "seconds": spent}


async def memory(options: StudioBenchmark, origin: str, process: int) -> Report:
    """Resident memory of the server while pictures pass through it, in bytes.

    The growth is counted from the reading after a tenth of the pictures: until then pools and caches fill.
    """
    part = max(1, options.frames // READINGS)
    readings: list[int] = []
    async with connect(origin) as client:
        for _ in range(READINGS):
            await consecutive_edits(client, itertools.islice(sway(), part), options.size)
            if (now := resident(process)) is not None:
                readings.append(now)
    growth = readings[-1] - readings[READINGS // 10 - 1] if readings else None
    return {"pictures": part * READINGS, "readings": readings, "growth": growth}


async def of_engine(options: StudioBenchmark, origin: str) -> list[dict[str, Any]]:
    """Rows of the Engine's previews: their time in the studio, and until the client has them."""
    async with connect(origin) as client:
        await consecutive_edits(client, itertools.islice(sway(), 5), options.preview)
        edits = await consecutive_edits(client, itertools.islice(sway(), max(20, options.moves)), options.preview)
    return [
        row(f"Engine, {options.preview} px preview", [edit["render"] for edit in edits], options),
        row("round trip of that preview", [edit["trip"] for edit in edits], options),
    ]


def resident(process: int) -> int | None:
    """Resident memory of a process in bytes; None where /proc does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), None)
