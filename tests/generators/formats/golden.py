"""Generators against the goldens that other projects' own code wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.generators import Generator


def load_golden(shared: Path, name: str) -> dict[str, Tensor]:
    with np.load(shared / "goldens" / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def check_parity(generator: Generator, golden: dict[str, Tensor], bound: float) -> None:
    """Largest differences within ``bound`` standard deviations, of the picture and of the mapped codes."""
    image = golden["image"]
    assert (generator.synthesis(golden["ws"]) - image).abs().max() < bound * image.std()
    expected = golden["w_mapped"]
    expected = expected if expected.ndim == 3 else expected[:, None]
    w = generator.truncate(generator.mapping(golden["z"]), float(golden["psi"]))
    assert (w - expected).abs().max() < bound * image.std()


def relative_error(generator: Generator, golden: dict[str, Tensor]) -> tuple[float, float]:
    """Largest and root-mean-square difference of the picture, in standard deviations of the golden one."""
    error = generator.synthesis(golden["ws"]) - golden["image"]
    std = golden["image"].std()
    return float(error.abs().max() / std), float(error.square().mean().sqrt() / std)
