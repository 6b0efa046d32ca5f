"""``stylerig export``: graphs for ONNX Runtime, TensorRT and the Triton Inference Server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from stylerig_fast.commands.options import DEFAULT_GENERATOR, CallTimer
from stylerig_fast.commands.output import print_report
from stylerig_fast.errors import ExportError


@dataclass(kw_only=True)
class _Options:
    model: str = DEFAULT_GENERATOR
    """A name that `Engine.from_pretrained` knows, or a folder."""
    allow_mismatch: bool = False
    """Take a rig with a generator or face model that it was not trained for, if the sizes fit."""
    json: bool = False
    """Print figures as one JSON object, and nothing else, on standard output."""


@dataclass(kw_only=True)
class ExportOnnx(_Options):
    """Write the rig, the generator, both after each other and the reconstructor as ONNX graphs."""

    out: Path
    """Folder to write: rig.onnx, generator.onnx, edit.onnx, reconstructor.onnx, export.json, people.npy."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """What convolutions compute in; styles, sums and the picture stay float32. ONNX Runtime has no bf16 on the CPU."""
    batch: int | None = None
    """Pictures at a time; any number by default."""
    resolution: int | None = None
    """Pixels of a picture's side: the generator's own, or its half, quarter, ..."""

    def run(self) -> None:
        _need_onnx()
        from stylerig_fast.engine import Engine
        from stylerig_fast.engine.backends.graph_folder import PRECISIONS
        from stylerig_fast.export.onnx import ExportOptions, ExportParts, export_onnx

        engine = Engine.from_pretrained(self.model, backend="torch", allow_mismatch=self.allow_mismatch)
        with CallTimer(torch.device("cpu")) as watch:
            options = ExportOptions(PRECISIONS[self.precision], self.batch, self.resolution)
            manifest = export_onnx(ExportParts.of(engine), self.out, options)
        figures = {
            "wrote": [str(self.out / name) for name in manifest.files],
            "MB": [round((self.out / name).stat().st_size / 1e6, 1) for name in manifest.files],
            "generator": manifest.generator.name,
            "precision": manifest.precision,
            "batch": manifest.batch,
            "resolution": manifest.resolution,
            "opset": manifest.opset,
            "s": watch.ms / 1e3,
        }
        print_report(figures, self.json)


@dataclass(kw_only=True)
class ExportTensorrt(_Options):
    """Build the TensorRT plans that the backend "tensorrt" runs, and compare them with torch where there is a GPU.

    TensorRT for RTX builds them on any machine; TensorRT 10 and 11 on the GPU that is to run them (not yet run).
    """

    graphs: Path
    """Folder of `stylerig export onnx`."""
    device: str = "cuda"
    """GPU to compare on, and of TensorRT 10 and 11 to build for: cuda, cuda:1, ..."""
    out: Path | None = None
    """Folder to write generator.plan and edit.plan to as well, for other programs."""

    def run(self) -> None:
        from stylerig_fast.engine import Engine
        from stylerig_fast.export.tensorrt import build_plans, write_plans

        if not torch.cuda.is_available():
            print_report(write_plans(self.graphs, self.out), self.json)
            return
        engine = Engine.from_pretrained(
            self.model, backend="torch", device=self.device, allow_mismatch=self.allow_mismatch
        )
        print_report(build_plans(engine, self.graphs, self.out), self.json)


@dataclass(kw_only=True)
class ExportTriton(_Options):
    """Write a model repository for the Triton Inference Server."""

    graphs: Path
    """Folder of `stylerig export onnx`."""
    out: Path
    """Folder to write: one model for pictures of codes, one for edits, and a client."""
    plans: bool = False
    """Plans of TensorRT 10 or 11 for this machine's GPU in place of the graphs (not yet run)."""
    device: str = "cuda"
    """GPU of the plans."""
    max_batch: int = 8
    """Largest batch, of graphs that take any."""

    def run(self) -> None:
        from stylerig_fast.engine import Engine
        from stylerig_fast.engine.backends.graph_folder import PRECISIONS, GraphFolder
        from stylerig_fast.engine.backends.tensorrt_library import find_library
        from stylerig_fast.export.tensorrt import plans
        from stylerig_fast.export.triton import export_triton

        built = None
        if self.plans:
            library = find_library()
            if library.portable:
                raise ExportError(
                    f"Triton runs plans of TensorRT 10 or 11, and here is {library}; install tensorrt, or leave out "
                    "--plans"
                )
            engine = Engine.from_pretrained(
                self.model,
                backend="tensorrt",
                graphs=self.graphs,
                dtype=PRECISIONS[GraphFolder(self.graphs).manifest.precision],
                device=self.device,
                allow_mismatch=self.allow_mismatch,
            )
            built = plans(engine.backend)
        written = export_triton(self.graphs, self.out, built, self.max_batch)
        print_report({"wrote": [str(self.out / name) for name in written]}, self.json)


@dataclass(kw_only=True)
class ExportCommand:
    """Write graphs for ONNX Runtime, TensorRT and the Triton Inference Server."""

    what: Annotated[
        Annotated[ExportOnnx, tyro.conf.subcommand("onnx")]
        | Annotated[ExportTensorrt, tyro.conf.subcommand("tensorrt")]
        | Annotated[ExportTriton, tyro.conf.subcommand("triton")],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> None:
        self.what.run()


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ExportError(f"writing graphs needs onnx ({error}): pip install 'stylerig-fast[export]'") from error
