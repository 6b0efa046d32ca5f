"""Plain-torch ``rasterize``: exact, any mesh, slow."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.ops.reference.barycentrics import edge_functions, pixel_rays

# (triangle, pixel) pairs tested at a time; bounds the memory to some 100 MB.
PAIRS = 1_000_000
# Bounding boxes are this much wider than the projected corners, in pixels: more than rounding can move them.
MARGIN = 1 / 64


def pixel_boxes(
    corners: Tensor, focal: float, height: int, width: int, near: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pixels that each triangle may cover.

    Args:
        corners: ``(T, 3, 3)`` camera space.
        focal: focal length in image widths.
        height: pixels.
        width: pixels.
        near: nothing nearer is drawn.

    Returns:
        First and one-past-last column, first and one-past-last row, ``(T,)`` int64 each.
    """
    depth = -corners[..., 2]
    in_front = depth > near
    scale = focal / torch.where(in_front, depth, torch.ones_like(depth))
    columns = (corners[..., 0] * scale + 0.5) * width
    rows = (0.5 * height / max(width, 1) - corners[..., 1] * scale) * width
    crossing = in_front.any(-1) & ~in_front.all(-1)
    visible = in_front.any(-1) & torch.isfinite(corners).all(-1).all(-1)
    box = []
    for positions, size in ((columns, width), (rows, height)):
        first = (positions.amin(-1) - 0.5 - MARGIN).ceil().clamp(0, size)
        last = (positions.amax(-1) - 0.5 + MARGIN).floor().clamp(-1, size - 1)
        # A triangle that crosses the near plane may reach any pixel.
        first = torch.where(crossing, torch.zeros_like(first), first)
        stop = torch.where(crossing, torch.full_like(last, size), last + 1)
        stop = torch.where(visible, stop, first)
        box += [first.nan_to_num(0).long(), stop.nan_to_num(0).long()]
    return box[0], box[1], box[2], box[3]


def _rasterize_one(corners: Tensor, focal: float, height: int, width: int, near: float) -> tuple[Tensor, Tensor]:
    """One picture of triangles ``(T, 3, 3)``: flat triangle numbers (T where there is none) and depths (inf)."""
    number, infinity = corners.shape[0], float("inf")
    nearest = corners.new_full((height * width,), infinity)
    triangle = torch.full((height * width,), number, dtype=torch.int64, device=corners.device)
    x, y = pixel_rays(height, width, focal, corners)
    x0, x1, y0, y1 = pixel_boxes(corners, focal, height, width, near)
    columns = (x1 - x0).clamp_min(0)
    counts = columns * (y1 - y0).clamp_min(0)
    ends = counts.cumsum(0)
    total = int(ends[-1]) if number else 0
    for start in range(0, total, PAIRS):
        pair = torch.arange(start, min(start + PAIRS, total), device=corners.device)
        t = torch.searchsorted(ends, pair, right=True)
        offset = pair - (ends[t] - counts[t])
        row = y0[t] + offset // columns[t]
        column = x0[t] + offset % columns[t]
        edges = edge_functions(corners[t], x[column], y[row])
        e0, e1, e2 = edges.unbind(-1)
        volume = e0 + e1 + e2
        inside = ((edges >= 0).all(-1) | (edges <= 0).all(-1)) & (volume != 0)
        d0, d1, d2 = (-corners[t, :, 2]).unbind(-1)
        depth = (e0 * d0 + e1 * d1 + e2 * d2) / volume
        inside &= depth > near
        pixel, depth, t = (row * width + column)[inside], depth[inside], t[inside]
        # The nearest triangle wins a pixel, and among equally near ones the one with the lowest number.
        before = nearest.clone()
        nearest.scatter_reduce_(0, pixel, depth, "amin")
        triangle = torch.where(nearest < before, torch.full_like(triangle, number), triangle)
        tied = depth == nearest[pixel]
        triangle.scatter_reduce_(0, pixel[tied], t[tied], "amin")
    return triangle, nearest


@torch.no_grad()
def rasterize(
    vertices: Tensor, triangles: Tensor, focal: float, height: int, width: int, near: float
) -> tuple[Tensor, Tensor]:
    """See ``stylerig_fast.ops.rasterize``; returns triangle numbers and depths."""
    ids = torch.full((vertices.shape[0], height, width), -1, dtype=torch.int32, device=vertices.device)
    depths = vertices.new_zeros(vertices.shape[0], height, width)
    for b in range(vertices.shape[0]):
        triangle, nearest = _rasterize_one(vertices[b][triangles.long()], focal, height, width, near)
        visible = (nearest < float("inf")).view(height, width)
        ids[b][visible] = triangle.view(height, width)[visible].int()
        depths[b][visible] = nearest.view(height, width)[visible]
    return ids, depths
