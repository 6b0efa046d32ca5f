"""How well an albedo basis can colour fitted portraits: geometry kept, albedo and light fitted again."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face.camera import Camera
from stylerig_fast.face.lighting import sh_basis
from stylerig_fast.face.model import FaceModel
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate

# Deviation of colours around a good fit; weighs the coefficients' prior against the picture.
NOISE = 0.05
_LIGHT_PRIOR = 1e-3


@torch.no_grad()
def refit_error(
    model: FaceModel,
    params: FaceParams,
    images: Tensor,
    camera: Camera | None = None,
    pixels: int = 1500,
    rounds: int = 4,
) -> Tensor:
    """Root mean squared colour error ``(N,)`` in the mask after fitting albedo and light by least squares.

    Bases are compared fairly that way: each gets its best coefficients, under the same unit-variance prior.

    Args:
        model: whose albedo is judged.
        params: N complete fits; their geometry is kept, their light is the start.
        images: ``(N, 3, H, H)`` uint8, or float in [0, 1].
        camera: of the fits.
        pixels: at most so many evenly spread pixels of each mask.
        rounds: alternations between light and albedo.
    """
    camera = camera or Camera()
    errors = [_one(model, params[i : i + 1], images[i : i + 1], camera, pixels, rounds) for i in range(len(images))]
    return torch.stack(errors)


def _one(model: FaceModel, params: FaceParams, image: Tensor, camera: Camera, pixels: int, rounds: int) -> Tensor:
    picture = image.float() / 255 if image.dtype == torch.uint8 else image.float()
    size = picture.shape[-1]
    surface = evaluate(model, params, camera)
    seen = ops.rasterize(surface.vertices, model.triangles, camera.focal, size, size)
    inside = (seen.triangle[0].flatten() >= 0).nonzero()[:, 0]
    if not len(inside):
        return picture.new_zeros(())
    inside = inside[:: max(1, len(inside) // pixels)]
    share = ops.barycentrics(surface.vertices, model.triangles, seen.triangle, camera.focal)[0].view(-1, 3)[inside]
    corners = model.triangles[seen.triangle[0].flatten()[inside].long()].long()

    def interpolate(field: Tensor) -> Tensor:
        return (field[..., corners, :] * share[:, :, None]).sum(-2)

    harmonics = sh_basis(torch.nn.functional.normalize(interpolate(surface.normals[0]), dim=-1))
    mean, basis = interpolate(model.albedo_mean), interpolate(model.albedo)
    wanted = picture[0].flatten(1).T[inside]
    gamma, beta = params.blocks["illumination"][0], mean.new_zeros(len(basis))
    albedo = mean
    for _ in range(rounds):
        shading = harmonics @ gamma
        design = (basis * shading).flatten(1) / NOISE
        gap = ((wanted - mean * shading) / NOISE).flatten()
        beta = torch.linalg.solve(design @ design.T + torch.eye(len(basis)), design @ gap)
        albedo = mean + torch.tensordot(beta, basis, 1)
        for c in range(3):
            lit = harmonics * albedo[:, c, None]
            prior = _LIGHT_PRIOR * len(lit) * torch.eye(9)
            gamma = gamma.clone()
            gamma[:, c] = torch.linalg.solve(lit.T @ lit + prior, lit.T @ wanted[:, c] + prior @ gamma[:, c])
    return (albedo * (harmonics @ gamma) - wanted).square().mean().sqrt()
