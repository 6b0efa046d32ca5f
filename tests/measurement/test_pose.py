from __future__ import annotations

import pytest
import torch

from stylerig_fast.face import Camera
from stylerig_fast.face.landmarks import MIRROR, OUTER_EYE_CORNERS
from stylerig_fast.face.rotation import degrees_to_matrix
from stylerig_fast.measurement.pose import PoseEstimator

DISTANCE = torch.tensor([0.0, 0.0, -11.0])


def project(shape, degrees, translation=DISTANCE):
    """Pictures ``(B, 68, 2)`` of landmark shapes turned by ``(B, 3)`` degrees."""
    turned = shape.double() @ degrees_to_matrix(degrees.double()).mT
    return Camera().project(turned + translation.double())


def random_faces(model, count, seed=0):
    """Landmark shapes of random people with random expressions, and random poses in degrees."""
    rng = torch.Generator().manual_seed(seed)
    identity = torch.randn(count, model.identity.shape[0], generator=rng) * 0.8
    expression = (torch.randn(count, model.expression.shape[0], generator=rng) * 0.25).clamp(min=0)
    shape = model.mean + torch.einsum("bk,kvc->bvc", identity, model.identity)
    shape = shape + torch.einsum("bk,kvc->bvc", expression, model.expression)
    uniform = torch.rand(count, 3, generator=rng) * 2 - 1
    return shape, uniform * torch.tensor([35.0, 20.0, 4.0]), rng


@pytest.fixture(scope="module")
def estimator(landmark_model):
    return PoseEstimator(landmark_model)


def test_signs_are_those_of_the_picture(estimator, landmark_model):
    """Each angle is told from where points go in the picture, not from the rotation's formula."""
    frontal = project(landmark_model.mean, torch.zeros(1, 3))[0]
    nose, chin, brows, eyes = 30, 8, slice(17, 27), slice(36, 48)

    points = project(landmark_model.mean, torch.tensor([[20.0, 0.0, 0.0]]))
    assert points[0, nose, 0] - points[0, eyes, 0].mean() > 0.02 + frontal[nose, 0] - frontal[eyes, 0].mean()
    assert estimator.fit(points).yaw.item() == pytest.approx(20, abs=0.3)

    # The chin lifted: the nose's tip moves up against the eyes (y points down).
    points = project(landmark_model.mean, torch.tensor([[0.0, 15.0, 0.0]]))
    assert points[0, nose, 1] - points[0, eyes, 1].mean() < frontal[nose, 1] - frontal[eyes, 1].mean() - 0.01
    assert estimator.fit(points).pitch.item() == pytest.approx(15, abs=0.3)

    points = project(landmark_model.mean, torch.tensor([[0.0, 0.0, 10.0]]))
    assert points[0, brows, 0].mean() > points[0, chin, 0] + 0.05
    assert estimator.fit(points).roll.item() == pytest.approx(10, abs=0.3)


def test_recovers_angles_together_anywhere_in_the_picture(estimator, landmark_model):
    degrees = torch.tensor([[30.0, -15.0, 5.0], [-45.0, 10.0, -20.0], [10.0, 20.0, 30.0], [0.0, 0.0, 0.0]])
    place = torch.tensor([[[0.3, -0.2, -11.0]], [[-0.4, 0.3, -9.0]], [[0.0, 0.1, -14.0]], [[0.0, 0.0, -11.0]]])
    pose = estimator.fit(project(landmark_model.mean, degrees, place))
    assert (pose.degrees - degrees).abs().max() < 0.5
    assert torch.allclose(pose.rotation, degrees_to_matrix(pose.degrees), atol=1e-9)
    assert (pose.translation - place[:, 0]).abs().max() < 0.3
    assert pose.residual.max() < 2e-3


def test_people_with_expressions_and_noise(estimator, landmark_model):
    """Identity and expression, left-right differences included, and 1 % landmark noise."""
    shape, degrees, rng = random_faces(landmark_model, 300)
    points = project(shape, degrees)
    a, b = OUTER_EYE_CORNERS
    eye = (points[:, a] - points[:, b]).norm(dim=-1).mean()
    found = estimator.fit(points + torch.randn(points.shape, generator=rng) * 0.01 * eye).degrees
    error = (found - degrees).abs().mean(0)
    assert error[0] < 1.7
    assert error[1] < 2.3
    assert error[2] < 1.2
    for axis in (0, 1):  # a fit that lets the shape take part of the turn has a slope below 1
        centred = degrees[:, axis] - degrees[:, axis].mean()
        slope = (centred * found[:, axis]).sum() / (centred * centred).sum()
        assert 0.95 < slope < 1.05


def test_mirrored_landmarks_give_the_mirrored_pose(estimator, stored_landmarks):
    points = stored_landmarks[:100].double()
    mirrored = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    expected = estimator.fit(points).degrees * torch.tensor([-1.0, 1.0, -1.0])
    assert (estimator.fit(mirrored).degrees - expected).abs().max() < 1e-3


def test_portraits_have_their_known_spread(estimator, stored_landmarks):
    """Yaw deviates by about 12 degrees on these portraits, pitch by 8, and there is hardly any roll."""
    pose = estimator.fit(stored_landmarks[:400])
    spread = pose.degrees.std(0)
    assert 11 < spread[0] < 14
    assert 6.5 < spread[1] < 9.5
    assert spread[2] < 1.6
    assert pose.yaw.mean().abs() < 2  # FFHQ is mirrored: no preferred side
    assert pose.residual.mean() < 0.03


def test_a_face_is_fitted_alone_as_in_a_batch(estimator, stored_landmarks):
    points = stored_landmarks[:40]
    together = estimator.fit(points).degrees
    assert torch.equal(estimator.fit(points).degrees, together)
    assert (estimator.fit(points[7:8]).degrees - together[7:8]).abs().max() < 1e-2
    assert estimator.fit(points[:0]).degrees.shape == (0, 3)


def test_bad_landmarks_are_named(estimator):
    with pytest.raises(ValueError, match=r"landmarks must be \(B, 68, 2\) in image widths, got \(3, 66, 2\)"):
        estimator.fit(torch.zeros(3, 66, 2))
    with pytest.raises(ValueError, match="not finite"):
        estimator.fit(torch.full((1, 68, 2), torch.nan))


def test_bad_settings_are_named(landmark_model):
    with pytest.raises(ValueError, match="must be positive"):
        PoseEstimator(landmark_model, noise=0.0)
