"""``stylerig-bench ops``: prints a row for each op as soon as it is measured."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import stylerig_fast
from stylerig_fast import ops
from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.commands.output import check_output
from stylerig_fast.face.model_io import load_face_model, open_face_model

from ...harness.device_clock import stream_of
from ...harness.machine import processor_name
from ...report import tables
from ...report.files import write
from ...report.page import section_text
from ..session import recorded
from .face_ops import FACE_OPS
from .measure import MedianTimer, measure_rates
from .scene import Scene, dense_model, make_scene
from .synthesis_ops import SYNTHESIS_OPS

ALL = (*FACE_OPS, *SYNTHESIS_OPS)


@dataclass(frozen=True)
class OpsBenchmark:
    """Time every op against its reference, PyTorch3D and the machine's peak rates."""

    model: str = "open"  # "open", "dense" (an ellipsoid of about 70,000 triangles), or a face model file
    batch: int = 32  # faces at a time
    size: int = 128  # height and width of the pictures in pixels
    device: Literal["cpu", "cuda"] = "cpu"  # where to run
    threads: int = 0  # CPU threads; 0 leaves torch's default
    clock: Literal["wall", "processor"] = "wall"  # "processor": processor time of all threads, for a shared CPU
    json: Path | None = None  # also write the results to this file
    markdown: Path | None = None  # also write the table to this file

    def run(self) -> None:
        for path, suffix in ((self.json, ".json"), (self.markdown, ".md")):
            if path is not None:
                check_output(path, suffix)
        if self.threads:
            torch.set_num_threads(self.threads)
        with recorded("ops", torch.device(self.device)) as report:
            report["ops"] = measure(self)
        if warning := report["load"]["warning"]:
            print(f"\nwarning: {warning}")
        write(report, self.json)
        if self.markdown is not None:
            write_atomically(self.markdown, section_text(report).encode())


def measure(options: OpsBenchmark, print_rows: bool = True) -> dict[str, Any]:
    """Setting and rows of all ops, each row printed as soon as it is measured if ``print_rows``."""
    device = torch.device(options.device)
    builtin = {"open": open_face_model, "dense": dense_model}
    model = builtin[options.model]() if options.model in builtin else load_face_model(options.model)
    scene = make_scene(model, options.batch, options.size, device)
    with stream_of(device):
        return _measure(options, scene, print_rows)


def _measure(options: OpsBenchmark, scene: Scene, print_rows: bool) -> dict[str, Any]:
    device, model = scene.device, scene.model
    clock = time.process_time if options.clock == "processor" else time.perf_counter
    machine = measure_rates(MedianTimer(device, clock))
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
