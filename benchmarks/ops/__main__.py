"""``stylerig-bench ops``, or ``python -m stylerig_fast.benchmarks.ops``."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

import stylerig_fast
from stylerig_fast import ops
from stylerig_fast.face.model_io import load_face_model, open_face_model

from .measure import Row, Stopwatch, measure_machine
from .rows import ALL
from .scene import dense_model, make_scene


@dataclass(frozen=True)
class Options:
    """Time every op against its reference, PyTorch3D and the machine's own limits."""

    model: str = "open"  # "open", "dense" (an ellipsoid of about 70,000 triangles), or a face model file
    batch: int = 32  # faces at a time
    size: int = 128  # pictures are so many pixels wide and high
    device: Literal["cpu", "cuda"] = "cpu"  # where to run
    threads: int = 0  # CPU threads; 0 leaves torch's default
    clock: Literal["wall", "processor"] = "wall"  # "processor": processor time of all threads, for a shared CPU
    json: Path | None = None  # also write the figures to this file


def main(options: Options) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    builtin = {"open": open_face_model, "dense": dense_model}
    model = builtin[options.model]() if options.model in builtin else load_face_model(options.model)
    scene = make_scene(model, options.batch, options.size, device)
    clock = time.process_time if options.clock == "processor" else time.perf_counter
    machine = measure_machine(Stopwatch(device, clock))
    setting = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "stylerig_fast": stylerig_fast.__version__,
        "paths": ops.paths(device),
        "model": model.name,
        "vertices": model.num_vertices,
        "triangles": len(model.triangles),
        "clock": options.clock,
        "batch": options.batch,
        "pixels": options.size,
        "copy GB/s": machine.bandwidth / 1e9,
        "matrix GFLOP/s": machine.matrix_rate / 1e9,
    }
    for key, value in setting.items():
        print(f"{key}: {value:.1f}" if isinstance(value, float) else f"{key}: {value}")
    print(HEADER)
    rows = []
    for measure in ALL:
        for row in measure(scene, machine):
            rows.append(row)
            print(line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"setting": setting, "rows": [asdict(row) for row in rows]}, indent=2))


def processor() -> str:
    """The CPU's name, as Linux knows it, and its cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


HEADER = (
    "\n| op | ms | reference ms | times faster | floor ms | times the floor | other ms | parity |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def line(row: Row) -> str:
    """A row as Markdown."""
    other = f"{row.other[0]} {row.other[1]:.0f}" if row.other else ""
    reference = f"{row.reference:.2f} | {row.reference / row.ours:.1f}" if row.reference else " | "
    return (
        f"| {row.name} | {row.ours:.2f} | {reference} | {row.floor:.3f} "
        f"| {row.ours / row.floor:.1f} | {other} | {row.parity} |"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
    sys.exit(0)
