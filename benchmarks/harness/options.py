"""The options that the benchmarks share."""

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
    untrained-stylegan2: config F, 1024 px). Rig and reconstructor are then untrained, of the usual sizes: the speed is
    real, the pictures are not."""
    backends: tuple[str, ...] = ()
    """Backends of the Engine; by default all that can run here."""
    peers: tuple[Peer, ...] = ("eager", "openvino")
    """Other systems to measure in the same run: eager torch, torch.compile, OpenVINO (MobileStyleGAN on a CPU)."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto is CUDA where there is one."""
    dtype: tuple[Precision, ...] = ()
    """Precisions of the backends; by default float32 and bfloat16, on CUDA float32 and float16."""
    graphs: tuple[Path, ...] = ()
    """Folders that `stylerig export onnx` wrote, one for each precision, for the backends that run exported graphs.
    By default the model's own, or graphs that are exported for this run."""
    compile_limit: float = 300.0
    """Seconds that torch.compile may take before its row is left out."""
    threads: int = 0
    """CPU threads; 0 leaves torch's default, one for each core."""
    seed: int = 0
    """Seed of people, sliders and intervals."""
    json: Path | None = None
    """Write all results, with every single measurement, to this file."""
    markdown: Path | None = None
    """Also write the tables to this file."""
    plot: Path | None = None
    """Draw the results to this file, as SVG."""

    def where(self) -> torch.device:
        """The device that ``device`` names. Also sets the number of CPU threads.

        Raises:
            ValueError: no such device, or a negative number of threads.
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
        """The precisions to measure on ``device``."""
        return self.dtype or (("float32", "float16") if device.type == "cuda" else ("float32", "bfloat16"))


@dataclass(kw_only=True)
class SizeOptions(BenchOptions):
    """Options of benchmarks that make pictures of several sizes."""

    resolutions: tuple[int, ...] = ()
    """Heights of the pictures in pixels; by default the generator's own, its half and its quarter."""

    def sizes(self, full: int) -> tuple[int, ...]:
        """The heights to measure, largest first.

        Args:
            full: of the generator.

        Raises:
            ValueError: a height is not the generator's own divided by a power of two.
        """
        chosen = self.resolutions or tuple(side for side in (full, full // 2, full // 4) if side >= 32)
        for side in chosen:
            if side < 32 or full % side or (full // side) & (full // side - 1):
                raise ValueError(f"--resolutions {side}: expected {full} or its half, quarter, … down to 32")
        return tuple(sorted(set(chosen), reverse=True))
