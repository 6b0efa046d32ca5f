"""``stylerig-bench studio``: what the studio adds to the Engine, how many pictures it passes on, whether it grows."""

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

from ..harness import machine
from ..harness.latency_stats import figures
from ..harness.options import BenchOptions
from ..report.files import FORMAT, finish
from .session import Report, check_outputs
from .studio_client import Client, as_fast_as_it_goes, connect, one_after_the_other
from .studio_server import running

WARM_UP = 20
CLIENTS = (1, 2)
# Readings of the memory over its frames.
READINGS = 20


@dataclass(kw_only=True)
class Studio(BenchOptions):
    """The browser studio: its own time on top of the Engine's, pictures per second, a slider in Chromium, its memory.

    The Engine stands in with pictures made beforehand, except where a slider is moved: that one is the real one's
    preview. The server runs in a process of its own; its clients share the machine with it.
    """

    size: int = 512
    """Pixels of the pictures."""
    preview: int = 256
    """Pixels of the pictures that a moving slider asks for."""
    samples: int = 300
    """Edits one after the other."""
    seconds: float = 5.0
    """Of each throughput."""
    frames: int = 10_000
    """Pictures over which the memory is watched; 0 leaves it out."""
    moves: int = 40
    """Moves of a slider in headless Chromium, where Playwright can be imported; 0 leaves it out."""
    chromium: Path | None = None
    """The browser; by default what is called chromium, or Playwright's own."""

    def run(self) -> None:
        check_outputs(self)
        device = self.where()
        load = machine.Load().begin()
        report: Report = {"format": FORMAT, "command": "studio", "setting": machine.describe(device)}
        report["studio"] = measure(self, device)
        report["load"] = load.end().as_dict()
        finish(report, self)


def measure(options: Studio, device: torch.device) -> Report:
    """Everything, each against a server of its own."""
    rows: list[dict[str, Any]] = []
    found: Report = {"size": options.size, "preview": options.preview, "rows": rows}
    with running(job(options, device, instant=True)) as (origin, process):
        rows += asyncio.run(of_server(options, origin))
        found["throughput"] = [asyncio.run(throughput(options, origin, count)) for count in CLIENTS]
        if options.frames:
            print(f"measuring: memory over {options.frames} pictures", flush=True)
            found["memory"] = asyncio.run(memory(options, origin, process))
    with running(job(options, device, instant=False)) as (origin, _):
        rows += asyncio.run(of_engine(options, origin))
        if options.moves:
            from .studio_browser import move_slider

            try:
                print("measuring: a slider in Chromium", flush=True)
                moved = move_slider(origin, options.moves, options.chromium)
                rows += [row(name, values, options) for name, values in moved.items()]
            except BackendUnavailable as error:
                found["refused"] = f"a slider in Chromium: {error}"
    return found


def row(name: str, values: list[float], options: Studio) -> dict[str, Any]:
    """What `compare` and the tables read: one round of measurements, and their figures."""
    rounds = [[round(value, 4) for value in values]]
    return {"name": name, "rounds": rounds, "figures": asdict(figures(rounds, options.seed))}


def job(options: Studio, device: torch.device, instant: bool) -> dict[str, Any]:
    work = {"model": options.model, "device": str(device), "threads": torch.get_num_threads()}
    return work | {"instant": instant, "preview": options.preview}


def sway() -> Iterator[float]:
    """Yaw angles of a head that turns to and fro, never twice the same in a row."""
    return (20 * math.sin(step / 7) for step in itertools.count())


async def of_server(options: Studio, origin: str) -> list[dict[str, Any]]:
    """The studio's own time, with pictures that cost the Engine nothing."""
    async with connect(origin) as client:
        print("measuring: one edit after the other", flush=True)
        await one_after_the_other(client, itertools.islice(sway(), WARM_UP), options.size)
        edits = await one_after_the_other(client, itertools.islice(sway(), options.samples), options.size)
    own, encode = [edit["trip"] - edit["render"] for edit in edits], [edit["encode"] for edit in edits]
    return [
        row(f"the studio's own time, {options.size} px", own, options),
        row(f"of that, the JPEG of {options.size} px", encode, options),
    ]


async def throughput(options: Studio, origin: str, count: int) -> Report:
    """Pictures per second of each of ``count`` clients at a time."""
    print(f"measuring: pictures/s of {count}", flush=True)
    contexts = [connect(origin, seed) for seed in range(count)]
    clients: list[Client] = [await context.__aenter__() for context in contexts]
    try:
        start = time.perf_counter()
        until = start + options.seconds
        counted = await asyncio.gather(*(as_fast_as_it_goes(client, sway(), options.size, until) for client in clients))
        spent = time.perf_counter() - start
    finally:
        for context in contexts:
            await context.__aexit__(None, None, None)
    return {"clients": count, "pictures/s": [frames / spent for frames in counted], "seconds": spent}


async def memory(options: Studio, origin: str, process: int) -> Report:
    """Resident memory of the server while pictures pass through it, in bytes.

    The first reading is taken after a tenth: until then pools and caches fill.
    """
    part = max(1, options.frames // READINGS)
    readings: list[int] = []
    async with connect(origin) as client:
        for _ in range(READINGS):
            await one_after_the_other(client, itertools.islice(sway(), part), options.size)
            if (now := resident(process)) is not None:
                readings.append(now)
    growth = readings[-1] - readings[READINGS // 10 - 1] if readings else None
    return {"pictures": part * READINGS, "readings": readings, "growth": growth}


async def of_engine(options: Studio, origin: str) -> list[dict[str, Any]]:
    """The real Engine's preview as the studio sees it, and what comes on top of that until the client has it."""
    async with connect(origin) as client:
        await one_after_the_other(client, itertools.islice(sway(), 5), options.preview)
        edits = await one_after_the_other(client, itertools.islice(sway(), max(20, options.moves)), options.preview)
    return [
        row(f"Engine, {options.preview} px preview", [edit["render"] for edit in edits], options),
        row("round trip of that preview", [edit["trip"] for edit in edits], options),
    ]


def resident(process: int) -> int | None:
    """Bytes of physical memory that a process holds; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), None)
