"""Batches of portraits on the training device, and statistics of their codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet


def code_statistics(portraits: PortraitSet) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``(num_ws, 512)`` of the codes, in two passes over blocks."""
    total, square = torch.zeros(()), torch.zeros(())
    for index in torch.arange(len(portraits)).split(1000):
        ws = portraits.ws(index).double()
        total, square = total + ws.sum(0), square + ws.square().sum(0)
    mean = total / len(portraits)
    return mean.float(), (square / len(portraits) - mean.square()).clamp_min(0).sqrt().float()


@dataclass(frozen=True)
class Batch:
    """Portraits on the training device.

    Attributes:
        w: ``(B, num_ws, 512)``.
        image: ``(B, 3, H, W)`` in [0, 1].
        landmarks: ``(B, 68, 2)`` in image widths.
        detected: ``(B,)`` 1 or 0.
        index: ``(B,)`` which portraits these are, on the CPU.
    """

    w: Tensor
    image: Tensor
    landmarks: Tensor
    detected: Tensor
    index: Tensor


def gather(portraits: PortraitSet, index: Tensor, device: str | torch.device) -> Batch:
    return Batch(
        portraits.ws(index).to(device),
        portraits.images[index].to(device).float() / 255,
        portraits.landmarks[index].to(device),
        portraits.detected[index].to(device).float(),
        index,
    )


def batches(portraits: PortraitSet, size: int, draw: torch.Generator, device: str | torch.device) -> Iterator[Batch]:
    """Endless random batches; the draw is made on the CPU, so that every device sees the same."""
    while True:
        yield gather(portraits, torch.randint(len(portraits), (size,), generator=draw), device)
