"""Batches of portraits on the training device, and statistics of their codes."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.images import to_float

# Pictures stay on a GPU for the whole training if they take no more than this share of its free memory.
LARGEST_SHARE = 0.5

_log = logging.getLogger(__name__)


def code_statistics(portraits: PortraitSet) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(num_ws, 512)`` of the codes, accumulated in blocks."""
    total, square = torch.zeros(()), torch.zeros(())
    for index in torch.arange(len(portraits)).split(1000):
        ws = portraits.ws(index).double()
        total, square = total + ws.sum(0), square + ws.square().sum(0)
    mean = total / len(portraits)
    return mean.float(), (square / len(portraits) - mean.square()).clamp_min(0).sqrt().float()


@dataclass(frozen=True)
class PortraitBatch:
    """Portraits on the training device.

    Attributes:
        w: ``(B, num_ws, 512)``.
        image: ``(B, 3, H, W)`` in [0, 1].
        landmarks: ``(B, 68, 2)`` in picture widths.
        detected: ``(B,)`` 1 where landmarks were detected, else 0.
    """

    w: Tensor
    image: Tensor
    landmarks: Tensor
    detected: Tensor


def on_device(portraits: PortraitSet, device: str | torch.device) -> PortraitSet:
    """The portraits on the training device, where steps gather them; on the CPU the same set.

    Their pictures stay on the CPU if they would take more than `LARGEST_SHARE` of a GPU's free memory (14,000 of 128 px
    are 0.7 GB, 200,000 are 9.8 GB). Each step then uploads its own, see `pictures_to_upload`.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return portraits.to(device)
    free, _ = torch.cuda.mem_get_info(device)
    fit = portraits.images.nbytes <= LARGEST_SHARE * free
    if not fit:
        _log.warning(
            "the pictures (%.1f GB) are more than %d %% of the GPU's free memory (%.1f GB): every step uploads its "
            "own, which is slower; --size and --limit make them fewer",
            portraits.images.nbytes / 1e9,
            100 * LARGEST_SHARE,
            free / 1e9,
        )
    return portraits.to(device, pictures=fit)


def pictures_to_upload(portraits: PortraitSet, index: Tensor) -> dict[str, Tensor]:
    """``{"images": (…, 3, H, W)}`` uint8 for `gather` if pictures stay on the CPU (see `on_device`), else empty.

    Args:
        portraits: of `on_device`.
        index: ``(…)`` which of them, on the CPU.
    """
    return {} if portraits.images.device == portraits.w_a.device else {"images": portraits.images[index]}


def gather(portraits: PortraitSet, index: Tensor, images: Tensor | None = None) -> PortraitBatch:
    """The portraits in ``index`` as a batch.

    Args:
        portraits: of `on_device`.
        index: ``(B,)`` which of them, on the same device.
        images: their pictures, where those are not in ``portraits``' device memory; see `pictures_to_upload`.
    """
    return PortraitBatch(
        portraits.ws(index),
        to_float(portraits.images[index] if images is None else images),
        portraits.landmarks[index],
        portraits.detected[index].float(),
    )
