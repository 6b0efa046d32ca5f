"""Rotations: axis-angle, matrices, and yaw, pitch and roll in degrees.

Positive yaw turns the nose toward the picture's right edge, positive pitch lifts the chin, positive
roll tips the top of the head toward the picture's right edge; ``R = R_roll @ R_yaw @ R_pitch``. In the
OpenGL camera frame these are rotations about z by -roll, about y by +yaw, about x by -pitch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Below this squared angle sin(a)/a and (1-cos(a))/a^2 are taken from their series: their gradients cancel there.
SERIES_BELOW = 1e-2
# Up to so many rotations at once are converted in plain numbers: each of a hundred tensor operations takes as long as
# all of that arithmetic, and an edit on a GPU is made in the time of two hundred.
FEW = 4

# Of a small turn the axis-angle vector is nearly (-pitch, yaw, -roll): each angle's component, and its sign.
SMALL_TURN = {"yaw": (1, 1.0), "pitch": (0, -1.0), "roll": (2, -1.0)}


def axis_angle_to_matrix(rotation: Tensor) -> Tensor:
    """Rodrigues' formula, with exact values and gradients at and around the zero rotation.

    Args:
        rotation: ``(..., 3)`` axis-angle in radians.

    Returns:
        ``(..., 3, 3)``, to be applied to column vectors.
    """
    squared = rotation.square().sum(-1)
    # sin(a)/a of the angle and of its half; (1-cos(a))/a^2 is half the square of the latter.
    whole, half = _sinc(torch.stack([squared, squared / 4], -1))[..., None, None].unbind(-3)
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device).expand(*rotation.shape, 3)
    cross = torch.linalg.cross(identity, rotation[..., None, :])
    return identity + whole * cross + half.square() / 2 * (cross @ cross)


def _sinc(squared: Tensor) -> Tensor:
    """``sin(x)/x`` of x², with exact values and gradients at and around zero."""
    small = squared < SERIES_BELOW
    # The branch that is not taken must stay finite, or its gradient (0 * inf) is NaN.
    one = torch.ones_like(squared)
    x = torch.where(small, one, squared).sqrt()
    series = one
    for factor in (72, 42, 20, 6):
        series = torch.addcmul(one, squared, series, value=-1 / factor)
    return torch.where(small, series, x.sin() / x)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """The axis-angle vector of a rotation by less than 180 degrees; ``(..., 3, 3)`` to ``(..., 3)``."""
    xx, xy, xz, yx, yy, yz, zx, zy, zz = matrix.flatten(-2).unbind(-1)
    twice_sine_axis = torch.stack([zy - yz, xz - zx, yx - xy], -1)
    sine = 0.5 * twice_sine_axis.square().sum(-1).clamp_min(1e-24).sqrt()
    cosine = 0.5 * (xx + yy + zz - 1)
    angle = torch.atan2(sine, cosine)
    scale = torch.where(sine < 1e-6, 0.5, 0.5 * angle / sine)
    return twice_sine_axis * scale[..., None]


def degrees_to_matrix(yaw_pitch_roll: Tensor) -> Tensor:
    """``(..., 3)`` yaw, pitch, roll in degrees to ``(..., 3, 3)``."""
    radians = torch.deg2rad(yaw_pitch_roll)
    (sin_yaw, sin_pitch, sin_roll), (cos_yaw, cos_pitch, cos_roll) = radians.sin().unbind(-1), radians.cos().unbind(-1)
    # About y by yaw, after about x by -pitch: its first row. Its second one is (0, cos_pitch, sin_pitch).
    xy, xz = -sin_yaw * sin_pitch, sin_yaw * cos_pitch
    rows = [
        [cos_roll * cos_yaw, cos_roll * xy + sin_roll * cos_pitch, cos_roll * xz + sin_roll * sin_pitch],
        [-sin_roll * cos_yaw, cos_roll * cos_pitch - sin_roll * xy, cos_roll * sin_pitch - sin_roll * xz],
        [-sin_yaw, -cos_yaw * sin_pitch, cos_yaw * cos_pitch],
    ]
    return torch.stack([value for row in rows for value in row], -1).unflatten(-1, (3, 3))


def matrix_to_degrees(matrix: Tensor) -> Tensor:
    """``(..., 3, 3)`` to yaw, pitch, roll in degrees ``(..., 3)``; yaw within ±90."""
    xx, _, _, yx, _, _, zx, zy, zz = matrix.flatten(-2).unbind(-1)
    yaw = torch.asin((-zx).clamp(-1, 1))
    return torch.rad2deg(torch.stack([yaw, -torch.atan2(zy, zz), -torch.atan2(yx, xx)], -1))


def degrees_to_axis_angle(yaw_pitch_roll: Tensor) -> Tensor:
    """Yaw, pitch, roll in degrees ``(..., 3)`` to axis-angle in radians ``(..., 3)``."""
    if _few(yaw_pitch_roll):
        return yaw_pitch_roll.new_tensor([_axis_angle(*row) for row in yaw_pitch_roll.tolist()])
    return matrix_to_axis_angle(degrees_to_matrix(yaw_pitch_roll))


def axis_angle_to_degrees(rotation: Tensor) -> Tensor:
    """Axis-angle in radians ``(..., 3)`` to yaw, pitch, roll in degrees ``(..., 3)``."""
    if _few(rotation):
        return rotation.new_tensor([_degrees(*row) for row in rotation.tolist()])
    return matrix_to_degrees(axis_angle_to_matrix(rotation))


def _few(values: Tensor) -> bool:
    """Whether these are a few rows of plain numbers: on the CPU, without a gradient, not traced."""
    if type(values) is not Tensor or values.device.type != "cpu" or values.ndim != 2 or not 0 < len(values) <= FEW:
        return False
    return not (values.requires_grad and torch.is_grad_enabled()) and not torch.compiler.is_compiling()


def _axis_angle(yaw: float, pitch: float, roll: float) -> tuple[float, float, float]:
    """The axis-angle vector of degrees, by the product of three unit quaternions."""
    a, b, c = math.radians(-pitch) / 2, math.radians(yaw) / 2, math.radians(-roll) / 2
    (sin_a, sin_b, sin_c), (cos_a, cos_b, cos_c) = map(math.sin, (a, b, c)), map(math.cos, (a, b, c))
    w = cos_a * cos_b * cos_c + sin_a * sin_b * sin_c
    x = sin_a * cos_b * cos_c - cos_a * sin_b * sin_c
    y = cos_a * sin_b * cos_c + sin_a * cos_b * sin_c
    z = cos_a * cos_b * sin_c - sin_a * sin_b * cos_c
    sine = math.hypot(x, y, z)
    # Of the two quaternions of a rotation, that of the turn by at most 180 degrees.
    scale = 2 * math.atan2(sine, abs(w)) / sine if sine > 1e-12 else 2.0
    scale = math.copysign(scale, w)
    return scale * x, scale * y, scale * z


def _degrees(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Yaw, pitch and roll of an axis-angle vector, by the entries of its matrix that they are read from."""
    angle = math.hypot(x, y, z)
    whole, half = (math.sin(part) / part if part > 1e-12 else 1.0 for part in (angle, angle / 2))
    half = half * half / 2
    xx, yx, zx = 1 - half * (y * y + z * z), whole * z + half * x * y, half * x * z - whole * y
    zy, zz = whole * x + half * y * z, 1 - half * (x * x + y * y)
    yaw = math.asin(max(-1.0, min(1.0, -zx)))
    return math.degrees(yaw), -math.degrees(math.atan2(zy, zz)), -math.degrees(math.atan2(yx, xx))
