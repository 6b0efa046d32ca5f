"""``stylerig convert``: other projects' generators and face models to this project's own files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from PIL import Image

from stylerig_fast.commands.convert_face import ConvertFace
from stylerig_fast.commands.options import CallTimer
from stylerig_fast.commands.output import check_output, print_report, write_png
from stylerig_fast.generators import Generator
from stylerig_fast.images import to_uint8


@dataclass(kw_only=True)
class LimitOptions:
    """Limits of the child process that reads the file."""

    memory: float = 4.0
    """GiB that reading the file may take."""
    seconds: float = 120.0
    """Seconds that reading the file may take."""


@dataclass(kw_only=True)
class ConvertGenerator:
    """Convert a StyleGAN 1, 2 or 3 checkpoint: NVIDIA and TensorFlow pickles, rosinality .pt, genforce .pth.

    The file is parsed, never executed. What is written is what `python -m stylerig_fast.train --generator` takes.
    """

    source: tyro.conf.Positional[Path]
    """Checkpoint of another project."""
    out: Path
    """Folder to write: config.json and model.safetensors."""
    name: str | None = None
    """What the generator is called in portrait sets and rigs; by default the checkpoint's name."""
    preview: Path | None = None
    """Also write a PNG file of random people."""
    people: int = 8
    """How many people are on the preview."""
    psi: float = 0.7
    """Truncation of those people."""
    seed: int = 0
    """Seed of those people."""
    allow_nonfinite: bool = False
    """Take weights that hold NaN or infinities."""
    limits: Annotated[LimitOptions, tyro.conf.arg(name="")] = field(default_factory=LimitOptions)
    json: bool = False
    """Print figures as one JSON object, and nothing else, on standard output."""

    def run(self) -> None:
        from stylerig_fast.generators.convert import convert_checkpoint
        from stylerig_fast.generators.folder import save_generator
        from stylerig_fast.untrusted import Limits

        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"{self.out} is a file; --out names a folder")
        if self.preview is not None:
            check_output(self.preview)
        with CallTimer(torch.device("cpu")) as watch:
            limits = Limits(seconds=self.limits.seconds, memory=int(self.limits.memory * 2**30))
            generator, form = convert_checkpoint(self.source, self.name, limits, self.allow_nonfinite)
            save_generator(self.out, generator, format=form, file=self.source.name)
        figures: dict[str, object] = {
            "wrote": [str(self.out)],
            "format": form,
            "family": generator.family,
            "name": generator.name,
            "resolution": generator.resolution,
            "slots": generator.num_ws,
            "parameters": sum(value.numel() for value in generator.state_dict().values()),
            "sha256": generator.fingerprint(),
            "s": watch.ms / 1e3,
        }
        if self.preview is not None:
            write_png(_people(generator, self.people, self.seed, self.psi), self.preview)
            figures["preview"] = str(self.preview)
        print_report(figures, self.json)


@torch.no_grad()
def _people(generator: Generator, n: int, seed: int, psi: float) -> Image.Image:
    """Random people side by side, at most four in a row, 256 px each."""
    size = min(256, generator.resolution)
    rows = []
    for codes in generator.sample(n, seed, psi).split(4):
        images = [generator.synthesis(code[None], size)[0] for code in codes]
        images += [torch.ones_like(images[0])] * (min(n, 4) - len(images))
        rows.append(torch.cat(images, dim=-1))
    return Image.fromarray(to_uint8(torch.cat(rows, dim=-2)).permute(1, 2, 0).numpy())


@dataclass(kw_only=True)
class ConvertCommand:
    """Convert a generator or a face model of another project to the files that everything here loads."""

    what: Annotated[
        Annotated[ConvertGenerator, tyro.conf.subcommand("generator", prefix_name=False)]
        | Annotated[ConvertFace, tyro.conf.subcommand("face", prefix_name=False)],
        tyro.conf.arg(name=""),
    ]

    def run(self) -> None:
        self.what.run()
