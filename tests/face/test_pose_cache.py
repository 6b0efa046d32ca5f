"""Angles are remembered only where they cannot have become wrong."""

from __future__ import annotations

import weakref

import pytest
import torch

from stylerig_fast.face import pose_cache
from stylerig_fast.face.rotation import axis_angle_to_degrees, degrees_to_axis_angle
from stylerig_fast.params import FaceParams


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []

    def counted(rotation: torch.Tensor) -> torch.Tensor:
        found.append(rotation)
        return axis_angle_to_degrees(rotation)

    monkeypatch.setattr(pose_cache, "axis_angle_to_degrees", counted)
    return found


def turned(**options) -> FaceParams:
    return FaceParams(rotation=degrees_to_axis_angle(torch.tensor([[10.0, -5.0, 2.0], [-30.0, 0.0, 0.0]])), **options)


def test_angles_are_computed_once(conversions) -> None:
    params = turned()
    first = params.pose_degrees()
    again = params.with_blocks(expression=torch.zeros(2, 3)).pose_degrees()
    assert torch.equal(first, again) and len(conversions) == 1
    first.zero_()  # the caller's own
    assert torch.equal(params.pose_degrees(), again) and len(conversions) == 1
    assert torch.equal(params[0:1].pose_degrees(), again[:1]) and len(conversions) == 2


def test_asked_angles_are_known_as_they_were_asked(conversions) -> None:
    posed = turned().with_pose(yaw=12.5)
    assert len(conversions) == 1
    assert posed.pose_degrees()[:, 0].tolist() == [12.5, 12.5] and len(conversions) == 1
    torch.testing.assert_close(posed.pose_degrees(), axis_angle_to_degrees(posed.blocks["rotation"]))
    further = posed.with_pose(pitch=3, roll=-1.0)
    assert further.pose_degrees().tolist() == [[12.5, 3.0, -1.0]] * 2 and len(conversions) == 1


@pytest.mark.parametrize("asked", [{"yaw": 120.0}, {"pitch": 270.0}, {"roll": -200.0}, {"yaw": [100.0, 3.0]}])
def test_angles_that_have_other_names_too_are_computed(asked, conversions) -> None:
    posed = turned().with_pose(**asked)
    torch.testing.assert_close(posed.pose_degrees(), axis_angle_to_degrees(posed.blocks["rotation"]))
    assert len(conversions) == 2


def test_another_or_a_changed_rotation_is_not_known(conversions) -> None:
    params = turned()
    params.pose_degrees()
    rotation = params.blocks["rotation"]
    rotation.mul_(0.5)
    assert torch.equal(params.pose_degrees(), axis_angle_to_degrees(rotation)) and len(conversions) == 2
    other = params.with_blocks(rotation=torch.zeros(2, 3))
    assert torch.equal(other.pose_degrees(), torch.zeros(2, 3)) and len(conversions) == 3
    assert params.to(dtype=torch.float64).pose_degrees().dtype == torch.float64


def test_gradients_pass_and_inference_tensors_are_asked_each_time(conversions) -> None:
    params = turned()
    params.pose_degrees()
    rotation = params.blocks["rotation"].requires_grad_()
    params.pose_degrees().sum().backward()
    assert rotation.grad is not None and bool(rotation.grad.abs().sum() > 0)
    assert turned().with_pose(yaw=torch.tensor(3.0, requires_grad=True)).pose_degrees().requires_grad
    with torch.inference_mode():
        inside = turned()
        inside.pose_degrees()
        inside.blocks["rotation"].mul_(0.5)
        assert torch.equal(inside.pose_degrees(), axis_angle_to_degrees(inside.blocks["rotation"]))


def test_nothing_is_kept_alive() -> None:
    params = turned().with_pose(yaw=12.5)
    rotation = params.blocks["rotation"]
    known = pose_cache._KNOWN[rotation][1]
    before, alive = len(pose_cache._KNOWN), weakref.ref(known)
    del params, rotation, known
    assert len(pose_cache._KNOWN) == before - 1 and alive() is None
