"""How long 200,000 portraits take: pictures per second to sample, and steps per second to train F."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch

from stylerig_fast.face.model_io import open_face_model

from ..harness.networks import open_parts
from ..harness.options import BenchOptions
from ..suites.train import Train, made_up, reconstructor_step
from .task import Task, first_line, parser, task

PORTRAITS = 200_000
# Of a portrait set.
SIZE = 256


def per_second(work: Task, call: Callable[[int], object], seconds: float, warm_up: int = 3) -> float:
    """Calls per second, with everything that they leave on the device done."""

    def wait() -> None:
        if work.cuda:
            torch.cuda.synchronize(work.device)

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
def sampling(work: Task, rows: list[dict[str, Any]], seconds: float) -> None:
    """Pictures from codes to the host, through the Engine; without landmarks and files."""
    parts = open_parts(BenchOptions(generator=work.words.generator))
    for dtype in ("float32", "float16") if work.cuda else ("float32",):
        engine = parts.engine("auto", dtype, work.device)
        for batch in (1, 4) if work.small else (4, 16, 64):
            w = engine.sample(seed=0, n=batch)
            side = min(SIZE, engine.resolution)
            rate = batch * per_second(work, lambda _, e=engine, w=w, s=side: e.render(w, resolution=s), seconds)  # type: ignore[misc]
            what = f"sampling {parts.generator.name} at {side} px, {dtype}, batch {batch}"
            add(work, rows, what, rate)


def training(work: Task, rows: list[dict[str, Any]], seconds: float) -> None:
    """Steps of reconstructor training, with the pictures in the host's memory and on the device."""
    size = {"portraits": 64, "pixels": 32, "slots": 4} if work.small else {"portraits": 4096}
    options = Train(device=work.device.type, **size)  # type: ignore[arg-type]
    model = open_face_model().to(work.device)
    portraits = made_up(options)
    fields = {field.name: getattr(portraits, field.name) for field in dataclasses.fields(portraits)}
    tensors: Any = {name: value.to(work.device) for name, value in fields.items() if torch.is_tensor(value)}
    resident = dataclasses.replace(portraits, **tensors)
    for where, held in {"host": portraits, "device": resident}.items():
        what = f"one epoch of reconstructor training, pictures on the {where}"
        try:
            step = reconstructor_step(options, model, held, work.device)
            add(work, rows, what, step.pictures * per_second(work, step.run, seconds))
        except Exception as error:  # one way of keeping pictures may fail without taking the other's figure
            rows.append({"name": what, "error": first_line(error)})
            print(what, rows[-1]["error"])


def add(work: Task, rows: list[dict[str, Any]], name: str, rate: float) -> None:
    """A row, printed and written."""
    rows.append({"name": name, "per second": rate, "minutes": PORTRAITS / rate / 60})
    print(f"{name}: {rate:.0f} per second, {PORTRAITS:,} in {rows[-1]['minutes']:.1f} min", flush=True)
    work.save({"portraits": PORTRAITS, "rows": rows})


def main() -> None:
    words = parser(__doc__)
    words.add_argument("--generator", default="", help="as stylerig-bench names it")
    work, rows = task(words.parse_args()), list[dict[str, Any]]()
    seconds = 0.1 if work.small else 1.5
    sampling(work, rows, seconds)
    training(work, rows, seconds)
    work.save({"portraits": PORTRAITS, "rows": rows})


if __name__ == "__main__":
    main()
