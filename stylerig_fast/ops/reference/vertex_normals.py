"""Plain-torch ``vertex_normals``."""

from __future__ import annotations

import torch
from torch import Tensor

# Sums shorter than this (square decimetres) have no direction worth the name: the normal and its gradient are 0.
DEGENERATE = 1e-12


def safe_normalize(vectors: Tensor, shortest: float) -> Tensor:
    """``vectors (..., 3)`` at unit length; zero, with zero gradient, where shorter than ``shortest``."""
    squared = (vectors * vectors).sum(-1, keepdim=True)
    long_enough = squared > shortest * shortest
    length = torch.where(long_enough, squared, torch.ones_like(squared)).sqrt()
    return torch.where(long_enough, vectors / length, torch.zeros_like(vectors))


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """See ``stylerig_fast.ops.vertex_normals``."""
    index = triangles.long()
    p0, p1, p2 = (vertices[:, index[:, k]] for k in range(3))
    areas = torch.linalg.cross(p1 - p0, p2 - p0, dim=-1)
    sums = torch.zeros_like(vertices)
    for k in range(3):
        sums = sums.index_add(1, index[:, k], areas)
    return safe_normalize(sums, DEGENERATE)
