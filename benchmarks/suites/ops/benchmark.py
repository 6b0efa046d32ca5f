"""``stylerig-bench ops``, or ``python -m stylerig_fast.benchmarks.ops``."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

import stylerig_fast
from stylerig_fast import ops
from stylerig_fast.checkpoint import write_atomically
from stylerig_fast.commands.output import check_output
from stylerig_fast.face.model_io import load_face_model, open_face_model

from ...harness.device_clock import stream_of
from ...harness.machine import Load, describe, processor_name
from ...report import tables
from ...report.files import FORMAT, write
from ...report.page import section_text
from .face_ops import ALL
from .measure import Stopwatch, measure_machine
from .scene import Scene, dense_model, make_scene


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
    with stream_of(device):
        return _measure(options, scene, print_rows)


def _measure(options: Options, scene: Scene, print_rows: bool) -> dict[str, Any]:
    device, model = scene.device, scene.model
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
        "clock": "device" if device.type == "cuda" else options.clock,
        "batch": options.batch,
        "pixels": options.size,
        "copy GB/s": machine.bandwidth / 1e9,
        "matrix GFLOP/s": machine.matrix_rate / 1e9,
    }
    if print_rows:
        for key, value in setting.items():
            print(f"{key}: {value:.1f}" if isinstance(value, float) else f"{key}: {value}")
        print(tables.line(tables.ops_columns(setting)), tables.line(["---"] * 8), sep="\n")
    rows: list[dict[str, Any]] = []
    for measure_op in ALL:
        for row in measure_op(scene, machine):
            rows.append(row.as_dict())
            if print_rows:
                print(tables.line(tables.ops_cells(rows[-1], setting)), flush=True)
    return {"setting": setting, "rows": rows}


if __name__ == "__main__":
    main(tyro.cli(Options))
    sys.exit(0)
