"""The face model, parameters and pictures that the ops are timed on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.params import FaceParams

CAMERA = Camera()


@dataclass(frozen=True)
class Scene:
    """A face model, a batch of parameters, and pictures ``(B, 3, size, size)`` to compare renderings with."""

    model: FaceModel
    params: FaceParams
    target: Tensor
    size: int

    @property
    def batch(self) -> int:
        return len(self.params)

    @property
    def device(self) -> torch.device:
        return self.model.mean.device


def dense_model(triangles: int = 70_000, identity: int = 80, expression: int = 64, albedo: int = 80) -> FaceModel:
    """A head-sized ellipsoid with random bases, as large as a Basel face model: only its speed is realistic."""
    rings = round(math.sqrt(triangles / 4))
    segments = 2 * rings
    theta = torch.linspace(0.02, math.pi - 0.02, rings)
    phi = torch.linspace(0, 2 * math.pi, segments + 1)[:-1]
    x, z = theta.sin()[:, None] * phi.sin(), theta.sin()[:, None] * phi.cos()
    mean = torch.stack([x, theta.cos()[:, None].expand_as(x) * 1.3, z], -1).flatten(0, 1)
    a = (torch.arange(rings - 1)[:, None] * segments + torch.arange(segments)).flatten()
    b = (torch.arange(rings - 1)[:, None] * segments + (torch.arange(segments) + 1) % segments).flatten()
    faces = torch.cat([torch.stack([a, a + segments, b], -1), torch.stack([b, a + segments, b + segments], -1)])
    draw = torch.Generator().manual_seed(0)

    def basis(size: int, scale: float) -> Tensor:
        return torch.randn(size, len(mean), 3, generator=draw) * scale

    return FaceModel(
        name=f"ellipsoid-{len(faces)}",
        mean=mean,
        identity=basis(identity, 2e-4),
        expression=basis(expression, 2e-4),
        albedo_mean=torch.full_like(mean, 0.5),
        albedo=basis(albedo, 1e-2),
        triangles=faces.int(),
        landmarks=torch.arange(68) * (len(mean) // 68),
        mirror=torch.arange(len(mean)),
        expression_names=tuple(f"residual_{i:02d}" for i in range(expression)),
    )


def make_scene(model: FaceModel, batch: int, size: int, device: torch.device, seed: int = 0) -> Scene:
    """Faces at the usual distance with random poses and lights, and random pictures.

    Args:
        model: of the faces.
        batch: number of faces.
        size: height and width of the pictures.
        device: of all tensors.
        seed: of the random numbers.
    """
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    illumination = 0.1 * normal(batch, 9, 3)
    illumination[:, 0] += 3.0
    sizes = model.sizes
    params = FaceParams(
        identity=0.5 * normal(batch, sizes["identity"]),
        albedo=0.5 * normal(batch, sizes["albedo"]),
        expression=0.2 * torch.rand(batch, sizes["expression"], generator=draw),
        illumination=illumination,
        rotation=0.2 * normal(batch, 3),
        translation=0.05 * normal(batch, 3) + torch.tensor([0.0, 0.0, -11.0]),
        expression_names=model.expression_names,
    )
    target = torch.rand(batch, 3, size, size, generator=draw)
    return Scene(model.to(device), params.to(device), target.to(device), size)
