"""Options that the benchmarks share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from stylerig_fast.commands.options import DEFAULT_GENERATOR

Precision = Literal["float32", "bfloat16", "float16"]
Peer = Literal["eager", "compile", "openvino"]


@dataclass(kw_only=True)
class BenchOptions:
    """What is measured, where, and what is written."""

    model: str = DEFAULT_GENERATOR
    """A name that `Engine.from_pretrained` knows, or a folder."""
    generator: str = ""
    """Another generator than the model's: a name, a converted folder, or `untrained-FAMILY` (for example
    untrained-stylegan2: config F, 1024 px). Rig and reconstructor are then untrained and of the product's sizes: for
    speed, not for looks."""
    backends: tuple[str, ...] = ()
    """Backends of the Engine; all that can run here by default."""
    peers: tuple[Peer, ...] = ("eager", "openvino")
    """Others to measure in the same run: plain eager torch, torch.compile, OpenVINO (MobileStyleGAN on a CPU)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes CUDA where there is one."""
    dtype: tuple[Precision, ...] = ()
    """Precisions of the backends; float32 and bfloat16 by default, on CUDA float32 and float16."""
    graphs: tuple[Path, ...] = ()
    """Folders that `stylerig export onnx` wrote, one for each precision, for the backends that run exported graphs.
    Without, the model's own are taken, or some are exported for the time of the run."""
    compile_limit: float = 300.0
    """Seconds that torch.compile may take before its row is left out."""
    threads: int = 0
    """CPU threads of everything; 0 leaves torch's default, one for each core."""
    seed: int = 0
    """Of people, sliders and intervals."""
    json: Path | None = None
    """Write all figures, with every single measurement, to this file."""
    markdown: Path | None = None
    """Write the tables to this file; they are printed in any case."""
    plot: Path | None = None
    """Draw the figures to this file, as SVG."""

    def where(self) -> torch.device:
        """The device, its threads set.

        Raises:
            ValueError: no such device.
        """
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise ValueError(f"--device {self.device}: no such device; use cpu, cuda or cuda:0") from error
        if self.threads < 0:
            raise ValueError(f"--threads {self.threads}: expected 1 or more, or 0 for torch's default")
        if self.threads:
            torch.set_num_threads(self.threads)
        return device

    def precisions(self, device: torch.device) -> tuple[Precision, ...]:
        return self.dtype or (("float32", "float16") if device.type == "cuda" else ("float32", "bfloat16"))


@dataclass(kw_only=True)
class SizeOptions(BenchOptions):
    """Benchmarks that make pictures of several sizes."""

    resolutions: tuple[int, ...] = ()
    """Pixels of a picture's side; by default the generator's own, its half and its quarter."""

    def sizes(self, full: int) -> tuple[int, ...]:
        """Largest first.

        Raises:
            ValueError: not a size of this generator.
        """
        wanted = self.resolutions or tuple(side for side in (full, full // 2, full // 4) if side >= 32)
        for side in wanted:
            if side < 32 or full % side or (full // side) & (full // side - 1):
                raise ValueError(f"--resolutions {side}: expected {full} or its half, quarter, … down to 32")
        return tuple(sorted(set(wanted), reverse=True))
