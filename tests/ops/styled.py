"""Inputs of `styled_epilogue` and `upsample_filter`, and how far a kernel may be from plain torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylerig_fast.ops.reference.styled_epilogue import ToRgb

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Batch, channels, height, width: less and more than a vector of channels, odd numbers, one pixel.
SIZES = [(1, 16, 4, 4), (2, 32, 6, 10), (3, 5, 7, 3), (1, 37, 2, 18), (2, 1, 1, 1), (1, 264, 3, 5)]
TAPS = torch.tensor([0.3, 0.8, 0.7, 0.2])  # not symmetric: flipped ones would show


def styled_inputs(
    size: tuple[int, int, int, int], dtype: torch.dtype, margin: int = 0, seed: int = 0, device: str = "cpu"
) -> dict[str, Any]:
    """Keyword arguments of both ops, ``x`` with ``margin`` more pixels; the tables are parts of wider ones."""
    batch, channels, height, width = size
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).to(device)

    x = normal(batch, channels, height + margin, width + margin).to(dtype)
    return {
        "x": x.contiguous(memory_format=torch.channels_last),
        "demodulation": normal(batch, channels + 3)[:, :channels].abs(),
        "bias": normal(channels),
        "noise": normal(height, width),
        "style": normal(batch, channels + 3)[:, :channels],
        "clamp": 0.9,
    }


def to_rgb(size: tuple[int, int, int, int], skip: bool = True, seed: int = 1, device: str = "cpu") -> ToRgb:
    batch, channels, height, width = size
    draw = torch.Generator().manual_seed(seed)
    below = torch.randn(batch, height // 2, width // 2, 3, generator=draw).to(device) if skip else None
    weight = torch.randn(batch, 3, channels + 5, generator=draw)[:, :, :channels]
    return ToRgb(weight.to(device), torch.randn(3, generator=draw).to(device), below, TAPS.to(device))


def rounding(expected: Tensor, inner: float) -> Tensor:
    """How far values may be apart: ``inner`` before they were rounded, and one step of their type."""
    step = torch.finfo(expected.dtype).eps if expected.dtype != torch.float32 else 0.0
    return inner + step * expected.float().abs()


def image_bound(rgb: ToRgb) -> float:
    """Sums of C products of activations up to 0.9, in another order."""
    return 4 * torch.finfo(torch.float32).eps * (float(rgb.weight.abs().sum(2).max()) + 8)
