"""What commands leave behind: PNG files, whole or not at all, and printed figures."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylerig_fast.atomic_files import write_atomically

Pixels = NDArray[np.uint8]


def check_output(path: Path, suffix: str = ".png") -> None:
    """Raises ValueError unless a file of this kind can be written at ``path``; for before the work, not after it."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file, for example {path / ('out' + suffix)}")
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path}: the output is a {suffix} file; give it a name that ends so")
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise ValueError(f"{path}: {nearest} is a file, not a folder")


def write_png(image: Image.Image, path: Path) -> None:
    """Writes ``path`` whole or not at all, making its folder if needed."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def numbered(path: Path, count: int) -> list[Path]:
    """``count`` paths: the one given, or with several ``name-0.png``, ``name-1.png``, ..."""
    if count == 1:
        return [path]
    digits = len(str(count - 1))
    return [path.with_name(f"{path.stem}-{index:0{digits}}{path.suffix}") for index in range(count)]


def write_pictures(images: Pixels, path: Path) -> list[str]:
    """Writes ``(B, H, W, 3)`` uint8 pictures as PNG files; returns their names, see `numbered`."""
    paths = numbered(path, len(images))
    for image, target in zip(images, paths, strict=True):
        write_png(Image.fromarray(image), target)
    return [str(target) for target in paths]


def write_latent(w: NDArray[np.float32], path: Path) -> None:
    """Writes a latent code ``(B, num_ws, 512)`` as .npy, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, w, allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def print_report(figures: Mapping[str, object], as_json: bool) -> None:
    """Prints figures to standard output, a line each, or as one JSON object."""
    if as_json:
        print(json.dumps(figures))
        return
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name.ljust(width)}  {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(_plain, value))
    return str(value)
