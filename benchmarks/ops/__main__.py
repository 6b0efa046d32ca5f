"""``stylerig-bench ops``, or ``python -m stylerig_fast.benchmarks.ops``."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

import stylerig_fast
from stylerig_fast import ops
from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.commands.output import check_output
from stylerig_fast.face.model_io import load_face_model, open_face_model

from ..machine import Load, describe, processor_name
from ..page import section_text
from ..report import FORMAT, write
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
    markdown: Path | None = None  # also write the table to this file

    def run(self) -> None:
        main(self)


def main(options: Options) -> None:
    for path, suffix in ((options.json, ".json"), (options.markdown, ".md")):
        if path is not None:
            check_output(path, suffix)
    load = Load().begin()
    figures = measure(options)
    setting = describe(torch.device(options.device))
    report: dict[str, Any] = {"format": FORMAT, "command": "ops", "setting": setting, "ops": figures}
    report["load"] = load.end().as_dict()
    if warning := report["load"]["warning"]:
        print(f"\nwarning: {warning}")
    write(report, options.json)
    if options.markdown is not None:
        write_atomically(options.markdown, section_text(report).encode())


def measure(options: Options, print_rows: bool = True) -> dict[str, Any]:
    """Setting and rows of all ops, printed as they come."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    builtin = {"open": open_face_model, "dense": dense_model}
    model = builtin[options.model]() if options.model in builtin else load_face_model(options.model)
    scene = make_scene(model, options.batch, options.size, device)
    clock = time.process_time if options.clock == "processor" else time.perf_counter
    machine = measure_machine(Stopwatch(device, clock))
    setting = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
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
    if print_rows:
        for key, value in setting.items():
            print(f"{key}: {value:.1f}" if isinstance(value, float) else f"{key}: {value}")
        print(HEADER)
    rows = []
    for measure_op in ALL:
        for row in measure_op(scene, machine):
            rows.append(asdict(row))
            if print_rows:
                print(line(row), flush=True)
    return {"setting": setting, "rows": rows}


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
