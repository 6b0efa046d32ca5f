"""Reading portrait sets: folders of Parquet shards into memory."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.data.cache import PictureCache
from stylerig_fast.data.shard import Shard, read_shard, write_shard
from stylerig_fast.errors import DataError

__all__ = ["PortraitSet", "find_shards", "write_shard"]

_log = logging.getLogger(__name__)

Shards = Sequence[int] | slice | Literal["train", "held-out"] | None


@dataclass(frozen=True)
class PortraitSet:
    """Portraits in memory: on the CPU as they are loaded, or where `to` has put them.

    Attributes:
        images: ``(N, 3, size, size)`` uint8 RGB.
        landmarks: ``(N, 68, 2)`` float32, iBUG order, in image widths.
        detected: ``(N,)`` bool, False where no face was found and the landmarks are a guess.
        w_a, w_b: ``(N, 512)`` float32. mix: ``(N, num_ws)`` float32.
        generator: name of the generator that made the pictures, empty if the files do not say.
        generator_sha256: its fingerprint, likewise.
    """

    images: Tensor
    landmarks: Tensor
    detected: Tensor
    w_a: Tensor
    w_b: Tensor
    mix: Tensor
    generator: str = ""
    generator_sha256: str = ""

    def __len__(self) -> int:
        return self.images.shape[0]

    @property
    def num_ws(self) -> int:
        """Slots of a W+ code."""
        return self.mix.shape[1]

    @property
    def size(self) -> int:
        """Width and height of the pictures in pixels."""
        return self.images.shape[-1]

    def ws(self, index: Tensor | Sequence[int] | slice | None = None) -> Tensor:
        """The W+ codes ``w_a + mix[k] * (w_b - w_a)`` of the portraits in ``index`` (all by default).

        Args:
            index: ``(n,)`` integers, a boolean mask, a slice, or None.

        Returns:
            ``(n, num_ws, 512)`` float32 where the set is.
        """
        rows = slice(None) if index is None else index
        if not isinstance(rows, slice):
            rows = torch.as_tensor(rows, device=self.w_a.device)
        w_a = self.w_a[rows][:, None]
        return torch.lerp(w_a, self.w_b[rows][:, None], self.mix[rows][:, :, None])

    def to(self, device: str | torch.device, pictures: bool = True) -> PortraitSet:
        """The set on ``device``; without ``pictures``, these stay where they are."""
        there = {name: getattr(self, name).to(device) for name in ("landmarks", "detected", "w_a", "w_b", "mix")}
        return dataclasses.replace(self, **there, images=self.images.to(device) if pictures else self.images)

    def subset(self, index: Tensor | Sequence[int] | slice) -> PortraitSet:
        """The portraits in ``index`` as a set of their own (a slice shares the memory)."""
        rows = index if isinstance(index, slice) else torch.as_tensor(index).cpu()
        return PortraitSet(
            images=self.images[rows],
            landmarks=self.landmarks[rows],
            detected=self.detected[rows],
            w_a=self.w_a[rows],
            w_b=self.w_b[rows],
            mix=self.mix[rows],
            generator=self.generator,
            generator_sha256=self.generator_sha256,
        )

    @staticmethod
    def load(
        source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        size: int = 128,
        shards: Shards = None,
        limit: int | None = None,
        threads: int | None = None,
        cache: bool | str | os.PathLike[str] = False,
    ) -> PortraitSet:
        """Reads a set and decodes its pictures into memory (``3 * size * size`` bytes each).

        Args:
            source: a folder of shards, one shard, or a list of shards.
            size: width and height of the pictures in pixels, at most what is stored (256); box-filtered.
            shards: which of the shards, counted in the order of their names: integers (negative ones count from the
                end), a slice, ``"train"`` (all but the last), ``"held-out"`` (the last), or None for all.
            limit: stop after so many portraits.
            threads: WebP decoders that run side by side, by default one per core.
            cache: keep the decoded pictures of whole shards on disk for the next time, in the user's cache folder or
                the folder given (0.7 GB for 14,000 portraits at 128 px).

        Raises:
            DataError: no shard is there, or one is unreadable, lacks a column or does not fit the others.
            ValueError: ``size`` or ``limit`` is below 1, or ``shards`` names one that is not there.
        """
        if size < 1 or (limit is not None and limit < 1):
            raise ValueError(f"size and limit are at least 1, found size={size}, limit={limit}")
        paths = _choose(find_shards(source), shards)
        pictures = PictureCache(None if cache is True else Path(cache)) if cache else None
        parts: list[Shard] = []
        count = 0
        for path in paths:
            part = read_shard(path, size, None if limit is None else limit - count, threads, pictures)
            if parts and _maker(part) != _maker(parts[0]):
                raise DataError(
                    f"{path}: made for {part.mix.shape[1]} slots of generator {part.generator!r} "
                    f"({part.generator_sha256[:12]}), but {paths[0]} for {parts[0].mix.shape[1]} of "
                    f"{parts[0].generator!r} ({parts[0].generator_sha256[:12]}); load them as two sets"
                )
            parts.append(part)
            count += len(part.images)
            if limit is not None and count >= limit:
                break
        if count == 0:
            raise DataError(f"{paths[0]}: the set holds no portrait; sample it again")
        return PortraitSet(
            images=_join(parts, "images"),
            landmarks=_join(parts, "landmarks"),
            detected=_join(parts, "detected"),
            w_a=_join(parts, "w_a").float(),
            w_b=_join(parts, "w_b").float(),
            mix=_join(parts, "mix").float(),
            generator=parts[0].generator,
            generator_sha256=parts[0].generator_sha256,
        )


def find_shards(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The shards of a folder in the order of their names (the last one is the held-out one).

    Raises:
        DataError: the folder is missing or holds no ``*.parquet``, or a listed file is missing.
    """
    if not isinstance(source, (str, os.PathLike)):
        paths = [Path(item) for item in source]
    elif Path(source).is_dir():
        paths = sorted(path for path in Path(source).glob("*.parquet") if not path.name.startswith("."))
    else:
        paths = [Path(source)]
    absent = [path for path in paths if not path.is_file()]
    if absent or not paths:
        raise DataError(
            f"{absent[0] if absent else source}: {'no such file or folder' if absent else 'no *.parquet shard'}; "
            "expected a portrait set: make one with `python -m stylerig_fast.train sample`"
        )
    totals = {int(match[1]) for path in paths if (match := re.search(r"-of-(\d+)\.parquet$", path.name))}
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir() and totals - {len(paths)}:
        # The last shard that is there is then not the one that the finished set holds out.
        _log.warning("%s: holds %d shards, their names say %s", source, len(paths), sorted(totals))
    return paths


def _choose(paths: list[Path], shards: Shards) -> list[Path]:
    if shards in ("train", "held-out"):
        if len(paths) < 2:
            raise DataError(f"{paths[0]}: the only shard of its set, but one has to be held out; sample at least two")
        return paths[:-1] if shards == "train" else paths[-1:]
    if shards is None:
        return paths
    if isinstance(shards, slice):
        chosen = paths[shards]
    elif isinstance(shards, str):
        raise ValueError(f'shards is {shards!r}, expected integers, a slice, "train" or "held-out"')
    else:
        outside = [index for index in shards if not -len(paths) <= index < len(paths)]
        if outside:
            raise ValueError(f"shards names {outside}, but the set has {len(paths)} (0 to {len(paths) - 1})")
        chosen = [paths[index] for index in shards]
    if not chosen:
        raise ValueError(f"shards={shards!r} chooses none of {len(paths)}")
    return chosen


def _maker(part: Shard) -> tuple[int, str, str]:
    return part.mix.shape[1], part.generator, part.generator_sha256


def _join(parts: list[Shard], name: str) -> Tensor:
    arrays = [getattr(part, name) for part in parts]
    return torch.from_numpy(arrays[0] if len(arrays) == 1 else np.concatenate(arrays))
