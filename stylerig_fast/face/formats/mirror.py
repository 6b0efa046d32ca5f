"""Which vertex is on the other side of the face."""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_mirror(vertices: Tensor, chunk: int = 2048) -> Tensor:
    """For each vertex ``(V, 3)`` the one nearest to its mirror image in x: ``(V,)`` int64."""
    # In double, because cdist goes through squared norms.
    flipped = vertices.double() * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    try:
        from scipy.spatial import KDTree
    except ImportError:  # the same, some hundred times slower on a large mesh
        return torch.cat([torch.cdist(part, vertices.double()).argmin(1) for part in flipped.split(chunk)])
    return torch.from_numpy(KDTree(vertices.double().numpy()).query(flipped.numpy())[1])
