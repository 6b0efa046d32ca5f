from __future__ import annotations

import pytest
import torch

from stylerig_fast.face.rotation import (
    axis_angle_to_degrees,
    axis_angle_to_matrix,
    degrees_to_axis_angle,
    degrees_to_matrix,
    matrix_to_axis_angle,
)


def test_degrees_round_trip():
    draw = torch.Generator().manual_seed(0)
    degrees = (torch.rand(200, 3, generator=draw, dtype=torch.float64) - 0.5) * 120
    torch.testing.assert_close(axis_angle_to_degrees(degrees_to_axis_angle(degrees)), degrees)


@pytest.mark.parametrize(
    ("angles", "point", "moved"),
    [
        ((90.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),  # yaw: the nose goes to the picture's right
        ((0.0, 90.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),  # pitch: the nose goes up
        ((0.0, 0.0, 90.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),  # roll: the head's top goes to the right
    ],
)
def test_signs(angles, point, moved):
    result = degrees_to_matrix(torch.tensor(angles)) @ torch.tensor(point)
    torch.testing.assert_close(result, torch.tensor(moved), atol=1e-6, rtol=0)


def test_composition_is_roll_yaw_pitch():
    def one(**angle: float) -> torch.Tensor:
        return degrees_to_matrix(torch.tensor([angle.get("yaw", 0.0), angle.get("pitch", 0.0), angle.get("roll", 0.0)]))

    whole = degrees_to_matrix(torch.tensor([20.0, 10.0, 5.0]))
    torch.testing.assert_close(whole, one(roll=5) @ one(yaw=20) @ one(pitch=10))


def test_axis_angle_is_the_exponential_of_the_cross_product():
    draw = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=draw, dtype=torch.float64), dim=1)
    # Both sides of where the series ends, and more than half a turn.
    for angle in (0.0, 1e-9, 0.0999, 0.1001, 0.1999, 0.2001, 1.0, 3.0, 5.0):
        rotation = angle * directions
        cross = torch.linalg.cross(torch.eye(3, dtype=torch.float64).expand(50, 3, 3), rotation[:, None])
        torch.testing.assert_close(axis_angle_to_matrix(rotation), torch.matrix_exp(cross), atol=1e-14, rtol=0)
    assert axis_angle_to_matrix(torch.zeros(0, 3)).shape == (0, 3, 3)


def test_gradients_are_finite_and_right_at_zero_and_away():
    for scale in (0.0, 1e-9, 1e-3, 1.0):
        rotation = (scale * torch.ones(1, 3, dtype=torch.float64)).requires_grad_()
        assert torch.autograd.gradcheck(axis_angle_to_matrix, rotation, atol=1e-4)
    zero = torch.zeros(3, requires_grad=True)
    matrix_to_axis_angle(axis_angle_to_matrix(zero)).sum().backward()
    torch.testing.assert_close(zero.grad, torch.ones(3))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_few_rotations_are_converted_like_many(dtype, close):
    """In plain numbers and in tensors; angles of every size, none at all, and yaw at and beyond 90 degrees."""
    draw = torch.Generator().manual_seed(0)
    degrees = torch.cat([scale * torch.randn(40, 3, generator=draw, dtype=dtype) for scale in (1e-7, 1e-2, 5.0, 40.0)])
    named = [(0, 0, 0), (90, 0, 0), (-90, 10, 0), (120, 5, 0), (0, 100, 0), (0, 0, 170)]
    degrees = torch.cat([degrees, torch.tensor(named, dtype=dtype)])
    few = torch.cat([degrees_to_axis_angle(rows) for rows in degrees.split(3)])
    assert few.dtype == dtype
    torch.testing.assert_close(axis_angle_to_matrix(few), degrees_to_matrix(degrees), atol=close, rtol=0)
    small = degrees.abs().sum(1) < 120  # the other way round is inexact toward half a turn
    torch.testing.assert_close(few[small], degrees_to_axis_angle(degrees[small]), atol=close, rtol=close)
    free = (degrees[:, 0].abs() - 90).abs() > 1  # there pitch and roll are one turn
    back = torch.cat([axis_angle_to_degrees(row) for row in few[free].split(1)])
    torch.testing.assert_close(degrees_to_matrix(back), degrees_to_matrix(degrees[free]), atol=20 * close, rtol=0)
    level = few[degrees[:, 0].abs() < 85]  # yaw is an arc sine, which is steep toward 90 degrees
    one_by_one = torch.cat([axis_angle_to_degrees(row) for row in level.split(1)])
    torch.testing.assert_close(one_by_one, axis_angle_to_degrees(level), atol=60 * close, rtol=close)


def test_gradients_pass_a_few_rotations():
    degrees = torch.tensor([[10.0, 5.0, 1.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda angles: axis_angle_to_degrees(degrees_to_axis_angle(angles)), degrees)
