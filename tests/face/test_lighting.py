from __future__ import annotations

import torch

from stylerig_fast.face.lighting import dominant_direction, light, sh_basis


def sphere(n: int = 20000) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(n, 3, generator=draw, dtype=torch.float64)
    return points / points.norm(dim=1, keepdim=True)


def test_basis_is_orthonormal():
    basis = sh_basis(sphere())
    gram = 4 * torch.pi * basis.T @ basis / len(basis)
    torch.testing.assert_close(gram, torch.eye(9, dtype=gram.dtype), atol=0.05, rtol=0)


def test_directional_light_is_the_clamped_cosine():
    direction = torch.tensor([[0.3, 0.5, 0.8]], dtype=torch.float64)
    gamma = light(direction, torch.ones(1, 3, dtype=torch.float64), torch.full((1, 3), 0.2, dtype=torch.float64))
    normals = sphere()
    shading = sh_basis(normals) @ gamma[0]
    cosine = (normals @ (direction / direction.norm()).T).clamp_min(0) + 0.2
    # Three bands hold a clamped cosine to 3/32 of its height; the worst place is the terminator, 1/4 - 5/32.
    assert float((shading - cosine).abs().max()) < 3 / 32 + 1e-4
    assert float((shading - cosine).mean().abs()) < 2e-3


def test_dominant_direction_reads_the_light_back():
    direction = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    gamma = light(direction, torch.ones(50, 3), torch.rand(50, 3, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(dominant_direction(gamma), direction, atol=1e-5, rtol=0)


def test_ambient_light_has_the_viewers_direction():
    gamma = light(torch.ones(1, 3), torch.zeros(1, 3), torch.ones(1, 3))
    assert dominant_direction(gamma).tolist() == [[0.0, 0.0, 1.0]]
