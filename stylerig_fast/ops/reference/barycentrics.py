"""Barycentric coordinates of visible pixels, differentiable in the vertices."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_rays(height: int, width: int, focal: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes ``(W,)`` and ``(H,)`` of the rays through the pixel centres: the ray of a pixel is (x, y, -1).

    The optical axis meets the middle of the picture.

    Args:
        height: pixels.
        width: pixels.
        focal: focal length in image widths.
        like: a tensor of the dtype and device wanted.
    """
    columns = torch.arange(width, device=like.device, dtype=like.dtype)
    rows = torch.arange(height, device=like.device, dtype=like.dtype)
    x = ((columns + 0.5) / width - 0.5) / focal
    y = (0.5 * height / max(width, 1) - (rows + 0.5) / width) / focal
    return x, y


def edge_functions(corners: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Three times the signed volumes that a ray spans with the edges of a triangle.

    Each corner is moved along its own depth plane so that the ray is the origin; the cross product of two such
    corners is the edge function. It needs no division by depth, so triangles may cross the camera plane, it
    cancels less than the volume computed from camera coordinates, and it is the exact negative in the
    neighbouring triangle. Divided by their sum, the three are perspective-correct barycentric coordinates.

    Args:
        corners: ``(..., 3, 3)`` camera-space corners.
        x: ``(...,)`` slopes of the rays.
        y: likewise.

    Returns:
        ``(..., 3)``.
    """
    depth = -corners[..., 2]
    u = corners[..., 0] - x[..., None] * depth
    v = corners[..., 1] - y[..., None] * depth
    (u0, u1, u2), (v0, v1, v2) = u.unbind(-1), v.unbind(-1)
    return torch.stack([u1 * v2 - v1 * u2, u2 * v0 - v2 * u0, u0 * v1 - v0 * u1], dim=-1)


def gather_corners(values: Tensor, triangles: Tensor, triangle_ids: Tensor) -> Tensor:
    """Per-vertex values at the corners of each pixel's triangle.

    Args:
        values: ``(B, V, D)``.
        triangles: ``(T, 3)`` int32.
        triangle_ids: ``(B, H, W)`` int32, -1 where there is none.

    Returns:
        ``(B, H, W, 3, D)``, 0 where ``triangle_ids`` is -1.
    """
    batch, height, width = triangle_ids.shape
    if triangles.shape[0] == 0:
        return values.new_zeros(batch, height, width, 3, values.shape[-1])
    index = triangles.long()[triangle_ids.long().clamp_min(0)].flatten(1)
    gathered = values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))
    gathered = gathered.view(batch, height, width, 3, values.shape[-1])
    # What triangle 0 holds must not leak into the background, NaN least of all.
    return torch.where((triangle_ids >= 0)[..., None, None], gathered, torch.zeros_like(gathered))


def barycentrics(vertices: Tensor, triangles: Tensor, triangle_ids: Tensor, focal: float) -> Tensor:
    """Perspective-correct barycentric coordinates at the pixel centres.

    Args:
        vertices: ``(B, V, 3)`` camera space.
        triangles: ``(T, 3)`` int32.
        triangle_ids: ``(B, H, W)`` int32 from ``rasterize``, -1 where nothing is seen.
        focal: focal length in image widths.

    Returns:
        ``(B, H, W, 3)``, summing to 1, and 0 where ``triangle_ids`` is -1.
    """
    height, width = triangle_ids.shape[1:]
    x, y = pixel_rays(height, width, focal, vertices)
    corners = gather_corners(vertices, triangles, triangle_ids)
    edges = edge_functions(corners, x.expand(height, width), y[:, None].expand(height, width))
    total = edges.sum(-1, keepdim=True)
    usable = (triangle_ids >= 0)[..., None] & (total != 0)
    weights = edges / torch.where(usable, total, torch.ones_like(total))
    return torch.where(usable, weights, torch.zeros_like(weights))
