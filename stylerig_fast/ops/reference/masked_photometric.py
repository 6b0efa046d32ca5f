"""Plain-torch ``masked_photometric``: shading of the visible pixels and its squared difference with a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.face.lighting import shade
from stylerig_fast.ops.reference.barycentrics import barycentrics, gather_corners
from stylerig_fast.ops.reference.vertex_normals import safe_normalize

# Interpolated normals shorter than this have no direction: they and their gradient are 0.
SHORTEST_NORMAL = 1e-6


def shade_pixels(
    vertices: Tensor,  # [B, V, 3]
    albedo: Tensor,  # [B, V, 3]
    normals: Tensor,  # [B, V, 3]
    illumination: Tensor,  # [B, 9, 3]
    triangles: Tensor,  # [T, 3]
    triangle_ids: Tensor,  # [B, H, W]
    focal: float,
) -> Tensor:
    """The rendered picture ``(B, 3, H, W)``: 0 outside the mask, not clamped, differentiable inside triangles."""
    weights = barycentrics(vertices, triangles, triangle_ids, focal)[..., None]
    pixel_albedo = (gather_corners(albedo, triangles, triangle_ids) * weights).sum(-2)
    pixel_normal = safe_normalize((gather_corners(normals, triangles, triangle_ids) * weights).sum(-2), SHORTEST_NORMAL)
    colours = shade(pixel_albedo.flatten(1, 2), pixel_normal.flatten(1, 2), illumination).view_as(pixel_albedo)
    colours = torch.where((triangle_ids >= 0)[..., None], colours, torch.zeros_like(colours))
    return colours.permute(0, 3, 1, 2)


def masked_mean(image: Tensor, target: Tensor, triangle_ids: Tensor) -> Tensor:
    """Mean over covered pixels of the mean over RGB of the squared difference.

    Args:
        image: ``(B, 3, H, W)``.
        target: ``(B, 3, H, W)``; what it holds outside the mask, NaN included, does not matter.
        triangle_ids: ``(B, H, W)``, -1 outside the mask.

    Returns:
        ``(B,)``, 0 where nothing is covered.
    """
    mask = (triangle_ids >= 0)[:, None]
    # Replace before subtracting: a NaN outside the mask times 0 is still NaN, in the gradient too.
    difference = torch.where(mask, image, torch.zeros_like(image)) - torch.where(mask, target, torch.zeros_like(target))
    pixels = mask.sum((1, 2, 3)).clamp_min(1)
    return difference.square().sum((1, 2, 3)) / (3 * pixels)


def masked_photometric(
    vertices: Tensor,
    albedo: Tensor,
    normals: Tensor,
    illumination: Tensor,
    triangles: Tensor,
    triangle_ids: Tensor,
    focal: float,
    target: Tensor,
) -> tuple[Tensor, Tensor]:
    """See ``stylerig_fast.ops.masked_photometric``; returns loss and picture (here with its gradient)."""
    image = shade_pixels(vertices, albedo, normals, illumination, triangles, triangle_ids, focal)
    return masked_mean(image, target, triangle_ids), image
