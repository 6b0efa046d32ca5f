"""Roll by turning the picture: portrait generators trained on aligned faces know upright heads only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

# Turns smaller than this are not worth resampling a picture for; F errs by as much.
LEAST = 1.0
# Beyond this many degrees what is mirrored at the edges takes up too much of the picture: the reach of roll.
MOST = 20.0
# Where an FFHQ-aligned head turns about: between chin and neck, in picture widths.
PIVOT = (0.5, 0.72)


def turned(pictures: Tensor, degrees: Sequence[float]) -> Tensor:
    """Pictures turned in their plane; what comes in from beyond the edge is the picture mirrored.

    Args:
        pictures: uint8 ``(B, H, H, 3)``.
        degrees: one angle per picture; positive tips the top of the head to the right edge. Angles below `LEAST`
            leave the picture as it is.

    Returns:
        uint8 ``(B, H, H, 3)``; the same tensor if no angle counts.

    Raises:
        ValueError: not one angle per picture.
    """
    if len(degrees) != len(pictures):
        raise ValueError(f"{len(degrees)} angles for {len(pictures)} pictures")
    rows = [row for row, angle in enumerate(degrees) if abs(angle) >= LEAST]
    if not rows:
        return pictures
    size = pictures.shape[1]
    result = pictures.clone()
    axis = (torch.arange(size, device=pictures.device, dtype=torch.float32) + 0.5) / size
    x, y = axis[None, :] - PIVOT[0], axis[:, None] - PIVOT[1]
    for row in rows:
        sin, cos = math.sin(math.radians(degrees[row])), math.cos(math.radians(degrees[row]))
        # Where each pixel of the turned picture comes from: the turn the other way.
        source = torch.stack([cos * x + sin * y + PIVOT[0], cos * y - sin * x + PIVOT[1]], dim=-1)
        planes = pictures[row].permute(2, 0, 1)[None].float()
        seen = grid_sample(planes, 2 * source[None] - 1, padding_mode="reflection", align_corners=False)
        result[row] = seen[0].round().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0)
    return result
