"""Inputs of `depthwise_layer` and `picture_layer`, and how far a kernel may be from float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Batch, height, width, channels of x (of one band): whole packs and parts of them, more than the lanes of a warp, odd
# sizes, one pixel, more rows than a strip.
SIZES = [(1, 4, 4, 8), (3, 5, 7, 12), (1, 19, 3, 5), (2, 1, 1, 4), (1, 2, 3, 132), (1, 3, 40, 1)]
EPS = torch.finfo(torch.float32).eps


def drawing(device: str = "cpu", seed: int = 0) -> Any:
    draw = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=draw).to(device)


def layer_inputs(
    size: tuple[int, int, int, int], dtype: torch.dtype, bands: bool, device: str = "cpu"
) -> dict[str, Any]:
    """Keyword arguments of `depthwise_layer`; the tables are parts of wider ones."""
    batch, height, width, channels = size
    count, normal = channels * (4 if bands else 1), drawing(device)
    return {
        "x": normal(batch, height, width, count).to(dtype),
        "bias": normal(count),
        "weight": normal(3, 3, channels),
        "style": normal(batch, channels + 4)[:, :channels],
        "noise": normal(height, width),
        "bands": normal(batch, count + 4)[:, :count] if bands else None,
    }


def picture_inputs(
    size: tuple[int, int, int, int], dtype: torch.dtype, outputs: int, device: str = "cpu"
) -> dict[str, Any]:
    """Keyword arguments of `picture_layer` without the picture; colours go beyond both ends of a byte."""
    batch, height, width, channels = size
    normal = drawing(device, 1)
    return {
        "x": normal(batch, height, width, channels).to(dtype),
        "bias": normal(channels),
        "style": normal(batch, channels + 4)[:, :channels],
        "weight": normal(outputs, channels) / channels**0.5,
        "final_bias": normal(outputs),
        "noise": normal(height, width),
    }


def new_picture(inputs: dict[str, Any], dtype: torch.dtype = torch.float32) -> Tensor:
    scale = 2 if len(inputs["weight"]) == 12 else 1
    batch, height, width, _ = inputs["x"].shape
    return torch.full((batch, scale * height, scale * width, 3), 77, dtype=dtype, device=inputs["x"].device)


def in_double(inputs: dict[str, Any]) -> dict[str, Any]:
    """The same on the CPU in float64, for the reference."""
    return {name: None if value is None else value.cpu().double() for name, value in inputs.items()}


def layer_bound(inputs: dict[str, Any], expected: Tensor) -> Tensor:
    """Nine products of up to four activations, added in float32; one rounding of the result."""
    x, bands = inputs["x"].float().abs().max() + 10, inputs["bands"]
    largest = x * (1 if bands is None else 4 * bands.abs().max())
    sums = 9 * largest * inputs["weight"].abs().max() * inputs["style"].abs().max()
    dtype = inputs["x"].dtype
    step = 0.0 if dtype == torch.float32 else torch.finfo(dtype).eps
    return 2 * EPS * float(sums) + step * expected.abs()


def picture_bound(inputs: dict[str, Any]) -> float:
    """A sum of C products."""
    largest = (inputs["x"].float().abs().max() + 10) * inputs["style"].abs().max()
    return 4 * EPS * float(largest * inputs["weight"].abs().sum(1).max() + 5)
