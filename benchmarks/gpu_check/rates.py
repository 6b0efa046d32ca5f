"""How long 200,000 portraits take: pictures per second to sample, and steps per second to train F."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch

from stylerig_fast.face.model_io import open_face_model

from ..harness.networks import open_networks
from ..harness.options import BenchOptions
from ..suites.train import TrainBenchmark, random_portraits, reconstructor_step
from .task import CheckTask, argument_parser, first_line

PORTRAITS = 200_000
# Of a portrait set.
SIZE = 256


def per_second(task: CheckTask, call: Callable[[int], object], seconds: float, warm_up: int = 3) -> float:
    """Calls per second, until the device has finished them.

    Args:
        task: with the device.
        call: takes its number.
        seconds: to measure, at least two calls.
        warm_up: calls before.
    """

    def wait() -> None:
        if task.cuda:
            torch.cuda.synchronize(task.device)

    for index in range(warm_up):
        call(index)
    wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or count < 2:
        call(count)
        count += 1
    wait()
    return count / (time.perf_counter() - start)


@torch.no_grad()
def sampling(task: CheckTask, rows: list[dict[str, Any]], seconds: float) -> None:
    """Adds rows of the Engine's pictures, copied to the host; without landmarks and files."""
    networks = open_networks(BenchOptions(generator=task.options.generator))
    for dtype in ("float32", "float16") if task.cuda else ("float32",):
        engine = networks.engine("auto", dtype, task.device)
        for batch in (1, 4) if task.small else (4, 16, 64):
            w = engine.sample(seed=0, n=batch)
            side = min(SIZE, engine.resolution)
            rate = batch * per_second(task, lambda _, e=engine, w=w, s=side: e.render(w, resolution=s), seconds)  # type: ignore[misc]
            what = f"sampling {networks.generator.name} at {side} px, {dtype}, batch {batch}"
            add(task, rows, what, rate)


def training(task: CheckTask, rows: list[dict[str, Any]], seconds: float) -> None:
    """Adds rows of reconstructor training, with the pictures in the host's memory and on the device."""
    size = {"portraits": 64, "pixels": 32, "slots": 4} if task.small else {"portraits": 4096}
    options = TrainBenchmark(device=task.device.type, **size)  # type: ignore[arg-type]
    model = open_face_model().to(task.device)
    portraits = random_portraits(options)
    fields = {field.name: getattr(portraits, field.name) for field in dataclasses.fields(portraits)}
    tensors: Any = {name: value.to(task.device) for name, value in fields.items() if torch.is_tensor(value)}
    resident = dataclasses.replace(portraits, **tensors)
    for where, held in {"host": portraits, "device": resident}.items():
        what = f"one epoch of reconstructor training, pictures on the {where}"
        try:
            step = reconstructor_step(options, model, held, task.device)
            add(task, rows, what, step.pictures * per_second(task, step.run, seconds))
        except Exception as error:  # one may run out of memory; the other is still measured
            rows.append({"name": what, "error": first_line(error)})
            print(what, rows[-1]["error"])


def add(task: CheckTask, rows: list[dict[str, Any]], name: str, rate: float) -> None:
    """Adds a row, prints it and writes all rows."""
    rows.append({"name": name, "per second": rate, "minutes": PORTRAITS / rate / 60})
    print(f"{name}: {rate:.0f} per second, {PORTRAITS:,} in {rows[-1]['minutes']:.1f} min", flush=True)
    task.save({"portraits": PORTRAITS, "rows": rows})


def main() -> None:
    """Times training steps and writes their rates."""
    parser = argument_parser(__doc__)
    parser.add_argument("--generator", default="", help="as stylerig-bench names it")
    task, rows = CheckTask.of(parser.parse_args()), list[dict[str, Any]]()
    seconds = 0.1 if task.small else 1.5
    sampling(task, rows, seconds)
    training(task, rows, seconds)
    task.save({"portraits": PORTRAITS, "rows": rows})


if __name__ == "__main__":
    main()
