"""Axis-angle to rotation matrix."""

from __future__ import annotations

import torch
from torch import Tensor

# Below this squared angle sin(a)/a and (1-cos(a))/a^2 are taken from their series: the closed forms cancel there.
SERIES_BELOW = 1e-2


def rotation_matrix(rotation: Tensor) -> Tensor:
    """Rodrigues' formula, with exact values and gradients at and around the zero rotation.

    Args:
        rotation: ``(..., 3)`` axis-angle in radians.

    Returns:
        ``(..., 3, 3)``, to be applied to column vectors.
    """
    squared = (rotation * rotation).sum(-1)
    small = squared < SERIES_BELOW
    # The branch that is not taken must stay finite, or its gradient (0 * inf) is NaN.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    half = torch.sin(angle / 2)
    series_a = 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42 * (1 - squared / 72)))
    series_b = 0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56 * (1 - squared / 90)))
    a = torch.where(small, series_a, torch.sin(angle) / angle)[..., None, None]
    b = torch.where(small, series_b, 2 * half * half / safe)[..., None, None]
    x, y, z = rotation.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=rotation.dtype, device=rotation.device) + a * cross + b * (cross @ cross)
