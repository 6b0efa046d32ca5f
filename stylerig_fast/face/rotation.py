"""Rotations: axis-angle, matrices, and yaw, pitch and roll in degrees.

Positive yaw turns the nose toward the picture's right edge, positive pitch lifts the chin, positive
roll tips the top of the head toward the picture's right edge; ``R = R_roll @ R_yaw @ R_pitch``. In the
OpenGL camera frame these are rotations about z by -roll, about y by +yaw, about x by -pitch.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Below this squared angle sin(a)/a and (1-cos(a))/a^2 are taken from their series: the closed forms cancel there.
SERIES_BELOW = 1e-2


def axis_angle_to_matrix(rotation: Tensor) -> Tensor:
    """Rodrigues' formula, with exact values and gradients at and around the zero rotation.

    Args:
        rotation: ``(..., 3)`` axis-angle in radians.

    Returns:
        ``(..., 3, 3)``, to be applied to column vectors.
    """
    squared = (rotation * rotation).sum(-1)
    small = squared < SERIES_BELOW
    # The branch that is not taken must stay finite, or its gradient (0 * inf) is NaN.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    half = torch.sin(angle / 2)
    series_a = 1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42 * (1 - squared / 72)))
    series_b = 0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56 * (1 - squared / 90)))
    a = torch.where(small, series_a, torch.sin(angle) / angle)[..., None, None]
    b = torch.where(small, series_b, 2 * half * half / safe)[..., None, None]
    x, y, z = rotation.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=rotation.dtype, device=rotation.device) + a * cross + b * (cross @ cross)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """The axis-angle vector of a rotation by less than 180 degrees; ``(..., 3, 3)`` to ``(..., 3)``."""
    twice_sine_axis = torch.stack(
        [
            matrix[..., 2, 1] - matrix[..., 1, 2],
            matrix[..., 0, 2] - matrix[..., 2, 0],
            matrix[..., 1, 0] - matrix[..., 0, 1],
        ],
        -1,
    )
    sine = 0.5 * (twice_sine_axis * twice_sine_axis).sum(-1).clamp_min(1e-24).sqrt()
    cosine = 0.5 * (matrix.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)
    angle = torch.atan2(sine, cosine)
    scale = torch.where(sine < 1e-6, torch.full_like(sine, 0.5), 0.5 * angle / sine)
    return twice_sine_axis * scale[..., None]


def degrees_to_matrix(yaw_pitch_roll: Tensor) -> Tensor:
    """``(..., 3)`` yaw, pitch, roll in degrees to ``(..., 3, 3)``."""
    yaw, pitch, roll = torch.deg2rad(yaw_pitch_roll).unbind(-1)
    zero = torch.zeros_like(yaw)
    about_y = axis_angle_to_matrix(torch.stack([zero, yaw, zero], -1))
    about_x = axis_angle_to_matrix(torch.stack([-pitch, zero, zero], -1))
    about_z = axis_angle_to_matrix(torch.stack([zero, zero, -roll], -1))
    return about_z @ about_y @ about_x


def matrix_to_degrees(matrix: Tensor) -> Tensor:
    """``(..., 3, 3)`` to yaw, pitch, roll in degrees ``(..., 3)``; yaw within ±90."""
    yaw = torch.asin((-matrix[..., 2, 0]).clamp(-1, 1))
    pitch = -torch.atan2(matrix[..., 2, 1], matrix[..., 2, 2])
    roll = -torch.atan2(matrix[..., 1, 0], matrix[..., 0, 0])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], -1))


def degrees_to_axis_angle(yaw_pitch_roll: Tensor) -> Tensor:
    """Yaw, pitch, roll in degrees ``(..., 3)`` to axis-angle in radians ``(..., 3)``."""
    return matrix_to_axis_angle(degrees_to_matrix(yaw_pitch_roll))


def axis_angle_to_degrees(rotation: Tensor) -> Tensor:
    """Axis-angle in radians ``(..., 3)`` to yaw, pitch, roll in degrees ``(..., 3)``."""
    return matrix_to_degrees(axis_angle_to_matrix(rotation))
