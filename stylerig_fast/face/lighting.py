"""Spherical-harmonic lighting: three real bands, RGB (Ramamoorthi & Hanrahan 2001).

``colour_c = albedo_c * sum_b gamma[b, c] * Y_b(n)`` with the unit normal ``n`` in camera space. Gamma
holds the product of the light's coefficient and the Lambertian kernel, as in MoFA and StyleRig.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.images import luminance

# Order: 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2.
SH_CONSTANTS = (0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274)


def sh_basis(normals: Tensor) -> Tensor:
    """The nine basis functions at unit normals ``(..., 3)``; returns ``(..., 9)``."""
    x, y, z = normals.unbind(-1)
    polynomials = (torch.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y)
    return torch.stack([c * p for c, p in zip(SH_CONSTANTS, polynomials, strict=True)], dim=-1)


def shade(albedo: Tensor, normals: Tensor, illumination: Tensor) -> Tensor:
    """Shaded colours.

    Args:
        albedo: ``(B, N, 3)`` RGB in [0, 1].
        normals: ``(B, N, 3)`` unit normals in camera space.
        illumination: ``(B, 9, 3)`` gamma.

    Returns:
        ``(B, N, 3)``, not clamped.
    """
    return albedo * torch.einsum("bnk,bkc->bnc", sh_basis(normals), illumination)


def light(direction: Tensor, colour: Tensor, ambient: Tensor) -> Tensor:
    """Gamma of an ambient term plus one directional light under a Lambertian surface.

    The clamped cosine ``max(0, n . d)`` is expanded to three bands; band factors pi, 2pi/3, pi/4
    (eq. 8 of the paper above). A normal that faces the light gets ``ambient + 1.06 * colour``: the series
    overshoots by 6 % there.

    Args:
        direction: ``(B, 3)`` toward the light, camera space; need not be unit length.
        colour: ``(B, 3)`` RGB of the directional light.
        ambient: ``(B, 3)`` RGB of the ambient term.

    Returns:
        ``(B, 9, 3)``.
    """
    unit = direction / direction.norm(dim=-1, keepdim=True)
    bands = unit.new_tensor([torch.pi] + [2 * torch.pi / 3] * 3 + [torch.pi / 4] * 5)
    gamma = (sh_basis(unit) * bands)[:, :, None] * colour[:, None, :]
    constant = torch.cat([ambient[:, None] / SH_CONSTANTS[0], torch.zeros_like(gamma[:, 1:])], dim=1)
    return gamma + constant


def turn_light(illumination: Tensor, direction: Tensor, share: float) -> Tensor:
    """The same light from another direction: same tint, and same mean brightness of the face's visible side.

    Only the linear band turns. The quadratic one stays: of a light that is directional to a fifth it is 1/20 of the
    constant band, less than what separates two portraits.

    Args:
        illumination: ``(B, 9, 3)`` gamma.
        direction: ``(B, 3)`` toward the light, camera space; need not be unit length.
        share: how much of the light is directional, 0 to 1.

    Returns:
        ``(B, 9, 3)``.
    """
    unit = direction / direction.norm(dim=-1, keepdim=True)
    # A light that is all directional has 2 / sqrt(3) as much in its linear band as in the constant one.
    linear = 2 / 3**0.5 * share * unit.roll(-1, dims=1)[..., None] * illumination[:, :1]
    turned = torch.cat([illumination[:, :1], linear, illumination[:, 4:]], dim=1)
    # Means of the constant and the z function over normals that face the viewer, weighted by their size in the picture.
    front = illumination.new_tensor([SH_CONSTANTS[0], SH_CONSTANTS[2] * 2 / 3])
    before, after = front @ torch.stack([illumination[:, :3:2], turned[:, :3:2]])
    exposure = (before / after.clamp_min(1e-6)).clamp(0.25, 4.0)[:, None]
    return torch.cat([turned[:, :4] * exposure, turned[:, 4:]], dim=1)


def dominant_direction(illumination: Tensor) -> Tensor:
    """Unit direction ``(B, 3)`` of the linear band's luminance: where most light comes from.

    A light without any direction gives the viewer's, +z.
    """
    direction = luminance(illumination)[:, [3, 1, 2]]
    length = direction.norm(dim=-1, keepdim=True)
    frontal = torch.zeros_like(direction)
    frontal[:, 2] = 1
    return torch.where(length > 1e-6, direction / length.clamp_min(1e-6), frontal)
