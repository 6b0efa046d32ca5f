"""A smooth albedo basis for models that have none: mirror-symmetric waves over the face."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Grey skin: no guess at anybody's colour; the basis reaches the others.
GREY_SKIN = (0.55, 0.5, 0.48)
# Directions of colour change: brightness, red against green, blue against yellow; and how far the whole face goes.
_AXES = ((1.0, 0.85, 0.75), (0.8, -0.5, -0.5), (0.25, 0.2, -0.9))
_FIRST = (0.12, 0.04, 0.03)


def smooth_albedo(vertices: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean and basis of a smooth albedo.

    The functions are cosines over (|x|, y), slowest first and orthogonal over the vertices. Two thirds of the
    basis change brightness, a sixth each the two hues.

    Args:
        vertices: ``(V, 3)`` the mean shape, symmetric about x = 0, y up.
        count: size of the basis.

    Returns:
        Mean ``(V, 3)`` and basis ``(count, V, 3)`` per standard deviation.
    """
    hues = count // 6
    sizes = (count - 2 * hues, hues, hues)
    functions = _waves(vertices, max(sizes))
    parts = []
    for axis, first, size in zip(_AXES, _FIRST, sizes, strict=True):
        decay = 0.4 * first / (1 + torch.arange(size, dtype=vertices.dtype) / 8)
        decay[:1] = first  # the overall colour varies most
        parts.append(decay[:, None, None] * functions[:size, :, None] * vertices.new_tensor(axis))
    mean = vertices.new_tensor(GREY_SKIN).expand(vertices.shape[0], 3).clone()
    return mean, torch.cat(parts)


def _waves(vertices: Tensor, count: int) -> Tensor:
    """``(count, V)`` functions, root mean square 1."""
    side = vertices[:, 0].abs() / vertices[:, 0].abs().max()
    low, high = vertices[:, 1].min(), vertices[:, 1].max()
    height = (vertices[:, 1] - low) / (high - low)
    # The face is about twice as high as half of it is wide: j counts half waves over twice the length of i's.
    pairs = sorted(((i, j) for i in range(count) for j in range(count)), key=lambda p: (4 * p[0] ** 2 + p[1] ** 2, p))
    waves = [torch.cos(math.pi * i * side) * torch.cos(math.pi * j * height) for i, j in pairs[:count]]
    orthogonal, upper = torch.linalg.qr(torch.stack(waves, dim=1).double())
    # QR leaves signs open; keep each function's own.
    orthogonal = orthogonal * torch.sign(upper.diagonal())
    return (orthogonal.T * math.sqrt(vertices.shape[0])).to(vertices.dtype)
