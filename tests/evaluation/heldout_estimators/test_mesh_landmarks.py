from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.evaluation.heldout_estimators import mesh_landmarks
from stylerig_fast.evaluation.heldout_estimators.mesh_landmarks import MeshPoseEstimator
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.measurement.expression import measure_face
from stylerig_fast.measurement.pose import PoseEstimator


@pytest.fixture(scope="module")
def mesh():
    try:
        return MeshPoseEstimator()
    except BackendUnavailable as error:
        pytest.skip(str(error))


def test_agrees_with_the_landmark_fit(mesh, portraits):
    """Two estimators that share nothing: within 2 degrees of yaw and 3.3 of pitch on average portraits."""
    seen = mesh.fit(portraits.images)
    assert seen.detected.all()
    assert seen.points.shape == (24, 468, 3)
    other = PoseEstimator(open_face_model()).fit(portraits.landmarks).degrees
    correlation = torch.corrcoef(torch.stack([seen.degrees[:, 0], other[:, 0]]))[0, 1]
    assert correlation > 0.96
    assert torch.corrcoef(torch.stack([seen.degrees[:, 1], other[:, 1]]))[0, 1] > 0.7
    assert (seen.degrees - other)[:, 0].abs().mean() < 3


def test_its_points_lie_at_the_landmarks(mesh, portraits):
    """Inner landmarks of two networks: within 6 % of the eye distance, and openings of mouths go together."""
    seen = mesh.fit(portraits.images).landmarks
    assert seen.shape == (24, 68, 2)
    assert seen[:, :17].isnan().all()
    eye = (portraits.landmarks[:, 45] - portraits.landmarks[:, 36]).norm(dim=-1)
    off = (seen - portraits.landmarks)[:, 17:].norm(dim=-1) / eye[:, None]
    assert off[:, 19:].mean() < 0.06  # eyes and mouth
    assert off.mean() < 0.08
    mouth = [measure_face(points).mouth_opening for points in (seen, portraits.landmarks)]
    assert torch.corrcoef(torch.stack(mouth))[0, 1] > 0.9


def test_mirrored_pictures_turn_the_other_way(mesh, portraits):
    images = portraits.images[:8]
    straight = mesh.fit(images).degrees
    mirrored = mesh.fit(np.ascontiguousarray(images[:, :, ::-1])).degrees
    difference = (mirrored - straight * torch.tensor([-1.0, 1.0, -1.0])).abs().mean(0)
    assert difference[0] < 2.5  # the network is not symmetric itself
    assert difference[1] < 2.5


def test_signs_of_points():
    """A flat face whose left side comes nearer has turned its nose to the picture's left edge: negative yaw."""
    points = torch.zeros(1, 468, 3)
    for right, left in mesh_landmarks._PAIRS:
        points[0, right, :2], points[0, left, :2] = torch.tensor([0.4, 0.5]), torch.tensor([0.6, 0.5])
    for top, bottom in mesh_landmarks._UPWARD:
        points[0, top, 1], points[0, bottom, 1] = 0.4, 0.6
    frontal = mesh_landmarks._degrees(points)[0]
    assert frontal[0] == pytest.approx(0, abs=1e-4)
    turned = points.clone()
    for right, left in mesh_landmarks._PAIRS:
        turned[0, left, 2], turned[0, right, 2] = -0.02, 0.02  # z points away: the left side comes nearer
    assert mesh_landmarks._degrees(turned)[0, 0] < frontal[0] - 5
    lifted = points.clone()
    for top, bottom in mesh_landmarks._UPWARD:
        lifted[0, top, 2], lifted[0, bottom, 2] = 0.03, -0.03  # the chin comes nearer, the forehead goes away
    assert mesh_landmarks._degrees(lifted)[0, 1] > frontal[1] + 5


def test_missing_weights_say_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"pip install --no-deps mediapipe==0\.10\.21"):
        mesh_landmarks._weights()


def test_empty_batch(mesh):
    seen = mesh.fit(np.zeros((0, 64, 64, 3), dtype=np.uint8))
    assert seen.degrees.shape == (0, 3)
