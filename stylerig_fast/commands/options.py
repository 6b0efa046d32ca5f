"""Options that several commands share: which engine, which person, which edit."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
import tyro
from torch import Tensor

from stylerig_fast.commands.output import print_report
from stylerig_fast.params import FaceParams

if TYPE_CHECKING:
    from stylerig_fast.engine import Engine

DEFAULT_GENERATOR = "mobilestylegan-ffhq"


@dataclass(kw_only=True)
class EngineOptions:
    """Which generator and rig, and where they run."""

    model: str = DEFAULT_GENERATOR
    """A name that `Engine.from_pretrained` knows, or a folder."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes CUDA where there is one."""
    resolution: int | None = None
    """Pixels of a picture's side: the generator's own, or its half, quarter, ... down to 32."""
    allow_mismatch: bool = False
    """Take a rig with a generator or face model that it was not trained for, if the sizes fit."""
    json: bool = False
    """Print figures as one JSON object, and nothing else, on standard output."""

    def open_engine(self, dtype: torch.dtype | None = None, **options: Any) -> Engine:
        """The engine that these options name.

        Args:
            dtype: see `Engine`.
            options: further ones of `Engine.from_pretrained`.

        Raises:
            BackendUnavailable: the device is not there.
        """
        device = self.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.device(device)
        except RuntimeError as error:
            raise ValueError(f"--device {device}: no such device; use cpu, cuda or cuda:0") from error
        from stylerig_fast.engine import Engine

        return Engine.from_pretrained(
            self.model,
            device=device,
            dtype=dtype,
            resolution=self.resolution,
            allow_mismatch=self.allow_mismatch,
            **options,
        )

    def report(self, engine: Engine, figures: dict[str, object]) -> None:
        print_report({**figures, "device": str(engine.device), "model": self.model}, self.json)


@dataclass(kw_only=True)
class PersonOptions(EngineOptions):
    """Who is in the picture: a seed, or a latent code from a file."""

    seed: int = 7
    """Seed of the random person; the same seed gives the same person on every device."""
    psi: float = 0.7
    """Truncation of random people: 0 is the average face, 1 the generator's full variety."""
    latent: Path | None = None
    """Latent code to use in place of the seed: .npy, or .npz with an array named `w` or `ws`, shape (num_ws, 512)
    or (B, num_ws, 512)."""

    def person(self, engine: Engine) -> Tensor:
        if self.latent is None:
            return sample(engine, self.seed, self.psi)
        return load_latent(self.latent, engine.generator.num_ws)


@dataclass(kw_only=True)
class RequestOptions:
    """What to change. What is not named stays as it is."""

    yaw: float | None = None
    """Degrees; positive turns the nose to the picture's right edge."""
    pitch: float | None = None
    """Degrees; positive lifts the chin."""
    roll: float | None = None
    """Degrees; positive tips the top of the head to the picture's right edge."""
    expression: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE [NAME=VALUE ...]")] = ()
    """Expression units and how far, 0 to 1, e.g. jawOpen=0.6 mouthSmileLeft=0.5."""
    light: tuple[float, float, float] | None = None
    """Direction toward the light: x right, y up, z toward the viewer; 1 0 1 is front right."""
    light_strength: float | None = None
    """Share of the light that comes from that direction, 0 to 1."""

    def controls(self) -> dict[str, dict[str, Any]]:
        """The request in the words of `Engine.generate`: pose, expression and light, those that are asked for.

        Raises:
            ValueError: an expression is not NAME=VALUE, or there is a strength and no light.
        """
        pose = {"yaw": self.yaw, "pitch": self.pitch, "roll": self.roll}
        if self.light is None and self.light_strength is not None:
            raise ValueError("--light-strength needs --light, the direction that the light comes from")
        light = {"direction": self.light, "strength": self.light_strength}
        kinds: dict[str, dict[str, Any]] = {"pose": pose, "expression": parse_units(self.expression), "light": light}
        given = {kind: {k: v for k, v in values.items() if v is not None} for kind, values in kinds.items()}
        return {kind: values for kind, values in given.items() if values}

    def request(self) -> FaceParams:
        """The request as a partial FaceParams."""
        from stylerig_fast.engine.edit_request import as_request

        return as_request(**self.controls())


def sample(engine: Engine, seed: int, psi: float, n: int = 1) -> Tensor:
    """``n`` random people ``(n, num_ws, 512)``."""
    check_people(n, psi)
    return engine.sample(n=n, seed=seed, psi=psi)


def check_people(n: int, psi: float) -> None:
    """Raises ValueError for a count or a truncation that makes no sense."""
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    if not math.isfinite(psi):
        raise ValueError(f"psi is {psi}, expected a finite number, usually between 0 and 1")


def parse_units(pairs: tuple[str, ...]) -> dict[str, float]:
    """``("jawOpen=0.6",)`` to ``{"jawOpen": 0.6}``; ValueError names the pair that is not like that."""
    units = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (name and equals and math.isfinite(value)):
            raise ValueError(f"expression {pair!r}: expected NAME=VALUE with a finite number, for example jawOpen=0.6")
        units[name] = value
    return units


def parse_slots(text: str, num_ws: int) -> list[int]:
    """``"0-7"`` or ``"0,2,4-6"`` to slot numbers, both ends included.

    Raises:
        ValueError: not of that form, or outside the generator's slots.
    """
    slots: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part, re.ASCII)
        if match is None:
            raise ValueError(f"slots {text!r}: expected numbers and ranges, for example 0-7 or 0,2,4-6")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < num_ws:
            raise ValueError(f"slots {text!r}: {part} is no range of the generator's slots, 0 to {num_ws - 1}")
        slots.extend(range(first, last + 1))
    return slots


def load_latent(path: Path, num_ws: int) -> Tensor:
    """A latent code from a NumPy file, never unpickled.

    Args:
        path: .npy, or .npz with an array named ``w`` or ``ws``, or with only one array.
        num_ws: slots of the generator.

    Returns:
        ``(B, num_ws, 512)`` float32 on the CPU.

    Raises:
        ValueError: not such a file, another shape, or values that are not finite.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                names = [name for name in ("w", "ws") if name in loaded.files] or loaded.files
                if len(names) != 1 and names[0] not in ("w", "ws"):
                    raise ValueError(f"it has the arrays {', '.join(loaded.files)}, expected one named w or ws")
                array = loaded[names[0]]
        else:
            array = loaded
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception as error:  # a damaged archive raises zipfile, zlib, EOF and value errors alike
        raise ValueError(f"{path}: not a latent code in a .npy or .npz file ({error})") from error
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{path}: holds {array.dtype}, expected floating-point numbers")
    if array.ndim not in (2, 3) or array.size == 0 or array.shape[-2:] != (num_ws, 512):
        raise ValueError(f"{path}: shape {array.shape}, expected ({num_ws}, 512) or (B, {num_ws}, 512)")
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused as that
        code = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(code).all():
        raise ValueError(f"{path}: holds values that are not finite in float32")
    return torch.from_numpy(code.reshape(-1, num_ws, 512))


@dataclass
class CallTimer:
    """Wall time of a block in milliseconds, the device's queue included."""

    device: torch.device
    ms: float = 0.0

    def __enter__(self) -> CallTimer:
        self._synchronize()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._synchronize()
        self.ms = 1e3 * (time.perf_counter() - self._start)
        return False

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
