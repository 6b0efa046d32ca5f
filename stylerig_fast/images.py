"""Pictures as numbers: levels and floats, smaller pictures, luminance. One conversion of each kind for all."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Shares of R, G and B (ITU-R BT.601).
LUMINANCE = (0.299, 0.587, 0.114)


def to_uint8(image: Tensor, overwrite: bool = False) -> Tensor:
    """Levels of a picture: ``(image + 1) * 127.5``, halves to even, cut off at 0 and 255, NaN as 0.

    Args:
        image: floating point, any shape, black at -1 and white at 1.
        overwrite: compute in the memory of ``image``, whose values are then lost.

    Returns:
        uint8, of the same shape.
    """
    scaled = image.add_(1) if overwrite else image.add(1)
    return scaled.mul_(127.5).round_().nan_to_num_(0, 255, 0).clamp_(0, 255).to(torch.uint8)


def copy_picture(image: Tensor, out: Tensor) -> None:
    """Writes a picture to ``out``, of the same shape: as levels (`to_uint8`) where that is uint8."""
    out.copy_(to_uint8(image) if out.dtype == torch.uint8 else image)


def to_float(levels: Tensor) -> Tensor:
    """Levels of any shape as float32 in [0, 1]."""
    return levels.float() / 255


def channels_last(images: Tensor) -> Tensor:
    """``(B, 3, H, W)`` as contiguous ``(B, H, W, 3)``."""
    return images.permute(0, 2, 3, 1).contiguous()


def area_resize(images: Tensor, size: int) -> Tensor:
    """Pictures ``(B, C, H, W)``, floating point, as ``(B, C, size, size)``: means over the area of each new pixel."""
    return F.interpolate(images, size=(size, size), mode="area")


def luminance(colours: Tensor) -> Tensor:
    """Luminance ``(...)`` of RGB ``(..., 3)``, in the unit of the colours."""
    return colours @ colours.new_tensor(LUMINANCE)
