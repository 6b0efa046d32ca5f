"""What the ops that make pictures, and the generators whose layers they compute, have in common."""

from __future__ import annotations

import torch
from torch import Tensor

SLOPE = 0.2  # of every leaky ReLU


def inverse_haar(x: Tensor) -> Tensor:
    """The inverse 2D Haar transform, twice its orthonormal scale, so that the low band is the 2x2 mean.

    Args:
        x: ``(B, H, W, 4C)``: low band, then the differences of rows, of columns, and of both, C channels each.

    Returns:
        ``(B, 2H, 2W, C)``.
    """
    low, rows, columns, both = x.chunk(4, dim=3)
    top_low, bottom_low = low + rows, low - rows
    top_high, bottom_high = columns + both, columns - both
    top = torch.stack((top_low + top_high, top_low - top_high), dim=3)
    bottom = torch.stack((bottom_low + bottom_high, bottom_low - bottom_high), dim=3)
    return torch.stack((top, bottom), dim=2).reshape(x.shape[0], 2 * x.shape[1], 2 * x.shape[2], -1)


def four_pixels(bands: Tensor) -> Tensor:
    """The inverse Haar transform of the output channels of a 1x1 convolution, put into its weights.

    Args:
        bands: ``(12, ...)``, weights or biases of three colours of each band: low, rows, columns, both.

    Returns:
        ``(12, ...)``, those of three colours of each pixel: upper left, upper right, lower left, lower right.
    """
    low, rows, columns, both = bands.chunk(4)
    return torch.cat(
        [
            low + rows + columns + both,
            low + rows - columns - both,
            low - rows + columns - both,
            low - rows - columns + both,
        ]
    )
