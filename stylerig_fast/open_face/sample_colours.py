"""Surface colours of fitted portraits: what each vertex would look like under white light, where it can be seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stylerig_fast.face.camera import Camera
from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.face.model import FaceModel
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, picture_at_vertices

# Shading below this share of the face's mean says little about the surface.
DARK = 0.35
# Colours this far (root mean square over RGB) from the fit are something else: hair, glasses, hands.
OUTLIER = 0.14


class Colours(NamedTuple):
    """Sampled colours.

    Attributes:
        albedo: ``(N, V, 3)`` picture colour over fitted shading.
        weight: ``(N, V)`` trust in it, 0 where the vertex is hidden, 1 at best.
    """

    albedo: Tensor
    weight: Tensor


@torch.no_grad()
def sample_colours(
    model: FaceModel, params: FaceParams, images: Tensor, camera: Camera | None = None, chunk: int = 32
) -> Colours:
    """Colours of N portraits at the model's vertices.

    Args:
        model: the face model that was fitted.
        params: N complete fits.
        images: ``(N, 3, H, H)`` uint8, or float in [0, 1].
        camera: the camera of the fits.
        chunk: portraits at a time.
    """
    camera = camera or Camera()
    parts = [
        _sample(model, params[start : start + chunk], images[start : start + chunk], camera)
        for start in range(0, len(images), chunk)
    ]
    return Colours(torch.cat([p.albedo for p in parts]), torch.cat([p.weight for p in parts]))


def _sample(model: FaceModel, params: FaceParams, images: Tensor, camera: Camera) -> Colours:
    pictures = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    surface = evaluate(model, params, camera)
    colour, seen = picture_at_vertices(model, surface, pictures, camera)

    gamma = params.blocks["illumination"]
    shading = torch.einsum("bvk,bkc->bvc", sh_basis(surface.normals), gamma)
    level = shading.mean(dim=(1, 2), keepdim=True)
    light = shading.clamp_min(1e-3).maximum(DARK * level)
    lit = ((shading.amin(-1) / level[..., 0] - DARK) / DARK).clamp(0, 1)
    fitted = (surface.albedo * shading).clamp(0, 1)
    off = (colour - fitted).square().mean(-1) / OUTLIER**2
    unclipped = (colour.amax(-1) < 0.985).float()
    weight = seen * lit * unclipped * torch.exp(-off)
    return Colours((colour / light).clamp(0, 1.3), weight)
