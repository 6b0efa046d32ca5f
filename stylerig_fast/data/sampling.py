"""Making portrait sets: seeded codes, the pictures that a generator makes of them, the landmarks found in those."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stylerig_fast import strict_json
from stylerig_fast.atomic_files import write_atomically
from stylerig_fast.data.shard import write_shard
from stylerig_fast.engine.backends.torch_backend import compiled_network
from stylerig_fast.errors import DataError
from stylerig_fast.generators import Generator
from stylerig_fast.images import channels_last, to_uint8

# Shares of a set: one code in all slots, a switch from one code to another at one slot, and (the rest) a random blend
# of two codes in each slot. Without mixes, what is trained on the set is true on the diagonal of W+ only.
ONE_CODE, CROSSOVER = 0.4, 0.3
# Landmarks are looked for in pictures of this width at most: what dlib's predictor needs.
DETECT_SIZE = 512
CONFIG = "sample.json"
# Codes ``(B, num_ws, w_dim)`` and a width to pictures ``(B, 3, width, width)`` in about [-1, 1].
Drawer = Callable[[Tensor, int], Tensor]


class Found(Protocol):
    """What a detector finds: landmarks ``(B, 68, 2)`` in image widths, and whether there was a face, ``(B,)``."""

    @property
    def points(self) -> Tensor: ...
    @property
    def detected(self) -> Tensor: ...


class Detector(Protocol):
    """Finds landmarks in ``uint8 (B, H, W, 3)`` pictures."""

    def detect(self, images: np.ndarray) -> Found: ...


@dataclass(frozen=True)
class SetConfig:
    """What decides a set's content; written beside its shards.

    Attributes:
        generator: its name.
        generator_sha256: its fingerprint.
        count: portraits in all.
        shard_size: portraits per shard; the last one holds the rest.
        size: width and height of the stored pictures, a power of two.
        psi: range that each code's truncation is drawn from, uniformly.
        seed: of all codes. A shard's content depends on it and on the shard's number alone.
        landmarks: how the landmarks are found, in words.
    """

    generator: str
    count: int
    shard_size: int = 1000
    size: int = 256
    psi: tuple[float, float] = (0.5, 1.0)
    seed: int = 0
    landmarks: str = ""
    generator_sha256: str = ""

    def __post_init__(self) -> None:
        if self.count < 1 or self.shard_size < 1:
            raise ValueError(f"count and shard_size are at least 1, found {self.count} and {self.shard_size}")
        if not 0 <= self.psi[0] <= self.psi[1]:
            raise ValueError(f"psi is a range from low to high of at least 0, found {self.psi}")
        if self.seed < 0:
            raise ValueError(f"seed is at least 0, found {self.seed}")

    def shards(self) -> list[tuple[str, int]]:
        """Name and number of portraits of each shard."""
        total = -(-self.count // self.shard_size)
        sizes = [min(self.shard_size, self.count - i * self.shard_size) for i in range(total)]
        return [(f"portraits-{i:05d}-of-{total:05d}.parquet", n) for i, n in enumerate(sizes)]


@dataclass(frozen=True)
class Codes:
    """Codes of a shard, rounded to what the shard stores, so that it regenerates its own pictures.

    Attributes:
        w_a: ``(N, 512)`` float32. w_b: ``(N, 512)``. mix: ``(N, num_ws)`` in [0, 1].
    """

    w_a: Tensor
    w_b: Tensor
    mix: Tensor

    def ws(self) -> Tensor:
        """``(N, num_ws, 512)``: ``w_a + mix[k] * (w_b - w_a)`` in slot k."""
        return torch.lerp(self.w_a[:, None], self.w_b[:, None], self.mix[:, :, None])


@torch.no_grad()
def draw_codes(generator: Generator, n: int, seed: int, shard: int = 0, psi: tuple[float, float] = (0.5, 1.0)) -> Codes:
    """Draws the codes of shard number ``shard``, on the CPU: the same on every device, up to rounding."""
    # One stream per (seed, shard) pair; mixed, because neighbouring seeds must not share streams.
    mixed = int(np.random.SeedSequence([seed, shard]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    draw = torch.Generator().manual_seed(mixed)
    low, high = psi

    def codes() -> Tensor:
        z = torch.randn(n, generator.w_dim, generator=draw)
        truncation = low + (high - low) * torch.rand(n, 1, generator=draw)
        mean = generator.w_mean.cpu()
        w = generator.mapping(z.to(generator.w_mean)).cpu()
        return torch.lerp(mean, w, truncation).half().float()

    w_a, w_b = codes(), codes()
    slots = torch.arange(generator.num_ws)
    kind = torch.rand(n, 1, generator=draw)
    # The switch comes after the first slot and before the last.
    switch = torch.randint(1, max(2, generator.num_ws), (n, 1), generator=draw)
    blend = torch.rand(n, generator.num_ws, generator=draw)
    mix = torch.where(kind < ONE_CODE + CROSSOVER, (slots >= switch).float(), blend)
    mix = torch.where(kind < ONE_CODE, torch.zeros(()), mix)
    return Codes(w_a, w_b, mix.half().float())


def sample_set(
    folder: Path,
    config: SetConfig,
    generator: Generator,
    detector: Detector,
    batch: int = 4,
    advance: Callable[[int], None] = lambda n: None,
) -> list[Path]:
    """Makes a portrait set, or the shards of it that are not there yet.

    A shard appears when it is complete, and one that is there is never touched: an interrupted run goes on where it
    was when it is started again.

    Args:
        folder: where to; created if needed. ``sample.json`` in it records `config`.
        config: what to make.
        generator: of that name, on any device.
        detector: finds the landmarks, in pictures of 512 px at most.
        batch: pictures that the generator makes at a time; no effect on the result.
        advance: told how many portraits were done, those of finished shards first.

    Returns:
        The shards.

    Raises:
        DataError: the folder holds a set, or part of one, of another config.
        ValueError: ``config`` is for another generator, or its size is nothing that this one can make.
    """
    found = generator.fingerprint()
    if (config.generator, config.generator_sha256 or found) != (generator.name, found):
        raise ValueError(
            f"config is for generator {config.generator!r} ({config.generator_sha256[:12]}), found {generator.name!r} "
            f"({found[:12]})"
        )
    if config.size < 4 or config.size & (config.size - 1) or config.size > generator.resolution:
        raise ValueError(f"size is {config.size}, expected a power of two from 4 to {generator.resolution}")
    _record(folder, config)
    draw, paths = drawer(generator), []
    for number, (name, n) in enumerate(config.shards()):
        path = folder / name
        if path.exists():
            advance(n)
        else:
            codes = draw_codes(generator, n, config.seed, number, config.psi)
            _make_shard(path, config, codes, generator, draw, detector, batch, advance)
        paths.append(path)
    return paths


def drawer(generator: Generator) -> Drawer:
    """What draws the pictures: the generator's compiled network where it has one on its device, else itself."""
    network = compiled_network(generator, generator.w_mean.device)
    return generator.synthesis if network is None else network.synthesis


@torch.no_grad()
def _make_shard(
    path: Path,
    config: SetConfig,
    codes: Codes,
    generator: Generator,
    draw: Drawer,
    detector: Detector,
    batch: int,
    advance: Callable[[int], None],
) -> None:
    resolution = min(generator.resolution, max(config.size, DETECT_SIZE))
    images, landmarks, detected = [], [], []
    for ws in codes.ws().split(batch):
        made = draw(ws.to(generator.w_mean), resolution)
        found = detector.detect(_levels(made))
        images.append(_levels(F.avg_pool2d(made, resolution // config.size)))
        landmarks.append(found.points.float().cpu().numpy())
        detected.append(found.detected.cpu().numpy())
        advance(len(ws))
    write_shard(
        path,
        w_a=codes.w_a.numpy(),
        w_b=codes.w_b.numpy(),
        mix=codes.mix.numpy(),
        images=np.concatenate(images),
        landmarks=np.concatenate(landmarks),
        detected=np.concatenate(detected),
        generator=generator.name,
        generator_sha256=generator.fingerprint(),
    )


def _levels(images: Tensor) -> np.ndarray:
    """``(B, 3, H, W)`` in [-1, 1] -> uint8 ``(B, H, W, 3)``."""
    return channels_last(to_uint8(images)).cpu().numpy()


def _record(folder: Path, config: SetConfig) -> None:
    """Writes `config` into ``folder``, or finds the same one there."""
    path = folder / CONFIG
    given = json.loads(json.dumps(asdict(config)))
    if path.exists():
        try:
            found = strict_json.loads(path.read_bytes())
        except ValueError as error:
            raise DataError(f"{path}: damaged ({error}); sample into another folder") from error
        changed = sorted(key for key in found.keys() | given.keys() if found.get(key) != given.get(key))
        if changed:
            differences = ", ".join(f"{key} {found.get(key)!r} (now {given.get(key)!r})" for key in changed)
            raise DataError(f"{folder}: holds a set made with {differences}; sample into another folder")
        return
    if folder.is_dir() and any(folder.glob("*.parquet")):
        raise DataError(
            f"{folder}: holds shards but no {CONFIG} that says how they were made; sample into another folder"
        )
    write_atomically(path, (json.dumps(given, indent=2) + "\n").encode())
