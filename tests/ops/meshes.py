"""Meshes, face models and comparisons that the tests of the ops share."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face import FaceModel
from stylerig_fast.ops import _library
from stylerig_fast.params import FaceParams

needs_kernels = pytest.mark.skipif(
    not _library.has_kernel("rasterize", "cpu"), reason=f"no compiled library: {_library.library().problem}"
)


def random_mesh(
    seed: int, batch: int = 2, vertices: int = 40, triangles: int = 70, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Triangles anywhere around the camera: in front, behind, across the near plane; plus degenerate and bad ones."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, vertices, 3, generator=generator, dtype=dtype) * torch.tensor([1.0, 1.0, 2.0])
    points[:, 0] *= 1e6  # triangles far larger than the picture
    points[:, 1] = points[:, 2]  # two vertices in one place
    points[:, 3] = points[:, 4] * 2  # collinear with the camera
    points[:, 5, 2] = 0  # in the camera plane
    points[:, 6, 2] = -0.01  # on the near plane
    points[:, 7] *= 1e-3
    points[0, 8, 0] = math.nan
    points[0, 9, 1] = math.inf
    index = torch.randint(0, vertices, (triangles, 3), generator=generator, dtype=torch.int32)
    index[0] = torch.tensor([1, 2, 3])
    index[1] = torch.tensor([11, 11, 11])
    return points, index


def sphere(rings: int = 8, segments: int = 12, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """A closed sphere of radius 1: vertices ``(V, 3)``, triangles seen from outside."""
    theta = torch.linspace(0, math.pi, rings + 1, dtype=torch.float64)[1:-1]
    phi = torch.arange(segments, dtype=torch.float64) * (2 * math.pi / segments)
    ring = torch.stack(
        [
            theta.sin()[:, None] * phi.sin(),
            theta.cos()[:, None].expand(-1, segments),
            theta.sin()[:, None] * phi.cos(),
        ],
        dim=-1,
    )
    poles = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    points = torch.cat([ring.flatten(0, 1), poles]).to(dtype)
    north, south = len(points) - 2, len(points) - 1
    faces = []
    for k in range(segments):
        n = (k + 1) % segments
        faces.append((north, k, n))
        for r in range(rings - 2):
            a, b, c, d = (r * segments + k, r * segments + n, (r + 1) * segments + k, (r + 1) * segments + n)
            faces += [(a, c, b), (b, c, d)]
        last = (rings - 2) * segments
        faces.append((south, last + n, last + k))
    return points, torch.tensor(faces, dtype=torch.int32)


def tiny_model(
    dtype: torch.dtype = torch.float32,
    identity: int = 3,
    expression: int = 2,
    albedo: int = 4,
    mesh: tuple[int, int] = (8, 12),
) -> FaceModel:
    """A sphere that calls itself a face."""
    mean, triangles = sphere(*mesh, dtype=dtype)
    count = len(mean)
    generator = torch.Generator().manual_seed(3)

    def basis(size: int) -> Tensor:
        return torch.randn(size, count, 3, generator=generator, dtype=dtype) * 0.03

    return FaceModel(
        name="sphere",
        mean=mean,
        identity=basis(identity),
        expression=basis(expression),
        albedo_mean=torch.rand(count, 3, generator=generator, dtype=dtype) * 0.5 + 0.3,
        albedo=basis(albedo),
        triangles=triangles,
        landmarks=torch.arange(68) % count,
        mirror=torch.arange(count),
        expression_names=tuple(f"residual_{i:02d}" for i in range(expression)),
    )


def random_params(model: FaceModel, batch: int, seed: int = 0, distance: float = 9.0) -> FaceParams:
    """Plausible parameters: the model in front of the camera, lit from all sides."""
    generator = torch.Generator().manual_seed(seed)
    dtype = model.mean.dtype

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    illumination = normal(batch, 9, 3) * 0.2
    illumination[:, 0] += 2.5
    translation = normal(batch, 3) * 0.1
    translation[:, 2] -= distance
    sizes = model.sizes
    return FaceParams(
        identity=normal(batch, sizes["identity"]),
        albedo=normal(batch, sizes["albedo"]),
        expression=normal(batch, sizes["expression"]),
        illumination=illumination,
        rotation=normal(batch, 3) * 0.3,
        translation=translation,
        expression_names=model.expression_names,
    )


def photometric_inputs(
    batch: int = 2,
    size: tuple[int, int] = (21, 17),
    dtype: torch.dtype = torch.float64,
    mesh: tuple[int, int] = (8, 12),
) -> dict[str, Any]:
    """Arguments of ``masked_photometric``: posed spheres that cover part of the picture."""
    generator = torch.Generator().manual_seed(0)
    points, triangles = sphere(*mesh, dtype=dtype)
    shifts = torch.randn(batch, 1, 3, generator=generator, dtype=dtype) * 0.1 - torch.tensor([0.0, 0.0, 9.0])
    vertices = points + shifts + torch.randn(batch, len(points), 3, generator=generator, dtype=dtype) * 0.02
    vertices = vertices.to(dtype)
    count = len(points)
    illumination = torch.randn(batch, 9, 3, generator=generator, dtype=dtype) * 0.3
    illumination[:, 0] += 2.5
    height, width = size
    return {
        "vertices": vertices,
        "albedo": torch.rand(batch, count, 3, generator=generator, dtype=dtype),
        "normals": ops.vertex_normals(vertices, triangles, impl="reference"),
        "illumination": illumination,
        "triangles": triangles,
        "triangle_ids": ops.rasterize(vertices, triangles, 4.26, height, width, impl="reference").triangle,
        "focal": 4.26,
        "target": torch.rand(batch, 3, height, width, generator=generator, dtype=dtype),
    }


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    if wanted.numel() == 0:
        return 0.0 if found.shape == wanted.shape else math.inf
    found, wanted = found.detach().double(), wanted.detach().double()
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30))
