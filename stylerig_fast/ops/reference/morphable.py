"""Plain-torch ``morphable``: 3DMM coefficients and pose to camera-space vertices, colours and landmarks."""

from __future__ import annotations

from torch import Tensor

from stylerig_fast.face.rotation import axis_angle_to_matrix


def project(points: Tensor, focal: float) -> Tensor:
    """Camera-space points ``(..., 3)`` to ``(..., 2)`` in image widths; the same as ``Camera.project``."""
    scale = focal / -points[..., 2:]
    return points[..., :2] * scale * points.new_tensor([1.0, -1.0]) + 0.5


def linear(mean: Tensor, basis: Tensor, coefficients: Tensor) -> Tensor:
    """``mean (V, 3)`` + the sum over k of ``coefficients (B, K)`` · ``basis (K, V, 3)``, as one matrix product."""
    offsets = coefficients @ basis.to(coefficients.dtype).flatten(1)
    return mean + offsets.unflatten(-1, mean.shape)


def morphable(
    mean: Tensor,  # [V, 3]
    identity_basis: Tensor,  # [A, V, 3]
    expression_basis: Tensor,  # [E, V, 3]
    albedo_mean: Tensor,  # [V, 3]
    albedo_basis: Tensor,  # [C, V, 3]
    landmark_vertices: Tensor,  # [L] int64
    identity: Tensor,  # [B, A]
    albedo: Tensor,  # [B, C]
    expression: Tensor,  # [B, E]
    rotation: Tensor,  # [B, 3]
    translation: Tensor,  # [B, 3]
    focal: float,
    with_screen: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See ``stylerig_fast.ops.morphable``; returns vertices, albedo, landmarks, screen."""
    shape = linear(mean, identity_basis, identity) + linear(
        mean.new_zeros(()).expand_as(mean), expression_basis, expression
    )
    vertices = shape @ axis_angle_to_matrix(rotation).transpose(1, 2) + translation[:, None]
    landmarks = project(vertices[:, landmark_vertices], focal)
    screen = project(vertices, focal) if with_screen else None
    return vertices, linear(albedo_mean, albedo_basis, albedo), landmarks, screen
