"""sample, edit, transfer, mix, generate: pictures of people, written as PNG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from stylerig_fast.commands.options import (
    CallTimer,
    EngineOptions,
    PersonOptions,
    RequestOptions,
    check_people,
    load_latent,
    parse_slots,
    sample,
)
from stylerig_fast.commands.output import Pixels, check_output, write_latent, write_pictures

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine

Control = Literal["pose", "expression", "illumination"]


def _write(options: EngineOptions, engine: Engine, out: Path, draw: Callable[[], Pixels], **figures: object) -> None:
    """Draws, writes and reports; the picture's time is the whole call's, generator included."""
    with CallTimer(engine.device) as watch:
        images = draw()
    size = f"{images.shape[2]}x{images.shape[1]}"
    options.report(engine, {"wrote": write_pictures(images, out), "size": size, "ms": watch.ms, **figures})


@dataclass(kw_only=True)
class SampleCommand(EngineOptions):
    """Write pictures of random people."""

    seed: int = 7
    """Seed of the random people."""
    psi: float = 0.7
    """Truncation: 0 is the average face, 1 the generator's full variety."""
    n: int = 1
    """How many; several are written as NAME-0.png, NAME-1.png, ..."""
    out: Path = Path("out/sample.png")
    """PNG file to write."""
    save_latent: Path | None = None
    """Also write the latent codes here, a .npy file that the other commands take as --latent."""

    def run(self) -> None:
        check_output(self.out)
        if self.save_latent is not None:
            check_output(self.save_latent, ".npy")
        engine = self.open_engine()
        w = sample(engine, self.seed, self.psi, self.n)
        if self.save_latent is not None:
            write_latent(w.cpu().numpy(), self.save_latent)
        _write(self, engine, self.out, lambda: engine.render(w), seed=self.seed)


@dataclass(kw_only=True)
class EditCommand(RequestOptions, PersonOptions):
    """Turn, relight or animate one person."""

    clamp: bool = False
    """Bring angles that the generator cannot reach back to those that it can, in place of a warning."""
    out: Path = Path("out/edit.png")
    """PNG file to write."""

    def run(self) -> None:
        check_output(self.out)
        controls = self.controls()
        if not controls:
            raise ValueError("nothing to edit; ask for --yaw, --pitch, --roll, --expression or --light")
        engine = self.open_engine()
        w, request = self.person(engine), self.request()
        _write(self, engine, self.out, lambda: engine.edit(w, request, clamp=self.clamp), request=controls)


@dataclass(kw_only=True)
class OtherOptions(PersonOptions):
    """A second person."""

    other_seed: int = 8
    """Seed of the second person."""
    other_latent: Path | None = None
    """Latent code of the second person, in place of the seed; see --latent."""

    def other(self, engine: Engine) -> Tensor:
        if self.other_latent is None:
            return sample(engine, self.other_seed, self.psi)
        return load_latent(self.other_latent, engine.generator.num_ws)


@dataclass(kw_only=True)
class TransferCommand(OtherOptions):
    """Give one person the pose, expression or light of another."""

    controls: tuple[Control, ...] = ("pose",)
    """What to take from the other person."""
    out: Path = Path("out/transfer.png")
    """PNG file to write."""

    def run(self) -> None:
        check_output(self.out)
        engine = self.open_engine()
        w, source = self.person(engine), self.other(engine)
        _write(
            self,
            engine,
            self.out,
            lambda: engine.transfer(w, source=source, controls=self.controls),
            controls=list(self.controls),
        )


@dataclass(kw_only=True)
class MixCommand(OtherOptions):
    """StyleGAN style mixing: some slots of another person's code."""

    slots: str = "0-7"
    """Slots to take from the other person; low ones are pose and shape, high ones colours. E.g. 0-7 or 0,2,4-6."""
    out: Path = Path("out/mix.png")
    """PNG file to write."""

    def run(self) -> None:
        check_output(self.out)
        engine = self.open_engine()
        slots = parse_slots(self.slots, engine.generator.num_ws)
        w, other = self.person(engine), self.other(engine)
        _write(self, engine, self.out, lambda: engine.mix(w, other, slots=slots), slots=self.slots)


@dataclass(kw_only=True)
class GenerateCommand(RequestOptions, EngineOptions):
    """Random people that all have the pose, expression and light controls for."""

    n: int = 8
    """How many; they are written as NAME-0.png, NAME-1.png, ..."""
    seed: int = 0
    """Seed of the random people."""
    psi: float = 0.7
    """Truncation: 0 is the average face, 1 the generator's full variety."""
    out: Path = Path("out/generate.png")
    """PNG file to write."""

    def run(self) -> None:
        check_output(self.out)
        check_people(self.n, self.psi)
        controls: dict[str, Any] = self.controls()
        engine = self.open_engine()
        _write(
            self,
            engine,
            self.out,
            lambda: engine.generate(n=self.n, seed=self.seed, psi=self.psi, **controls),
            seed=self.seed,
            request=controls,
        )
