from __future__ import annotations

import math

import pytest
import torch

from stylerig_fast.face import Camera
from stylerig_fast.face.landmarks import MIRROR
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.face.rotation import degrees_to_matrix
from stylerig_fast.measurement.expression import measure_face


@pytest.fixture(scope="module")
def face():
    """Landmarks ``(1, 68, 2)`` of the open face model with expressions and a pose, at rest by default."""
    model = open_face_model()

    def project(yaw=0.0, pitch=0.0, roll=0.0, **units):
        shape = model.mean[model.landmarks]
        for name, value in units.items():
            shape = shape + value * model.expression[model.expression_names.index(name), model.landmarks]
        turned = shape @ degrees_to_matrix(torch.tensor([yaw, pitch, roll])).mT + torch.tensor([0.0, 0.0, -11.0])
        return Camera().project(turned)[None]

    return project


@pytest.mark.parametrize(
    ("name", "units", "least"),
    [
        ("mouth_opening", {"jawOpen": 0.6}, 0.1),
        ("mouth_width", {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}, 0.03),
        ("corner_height", {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}, 0.03),
        ("eye_opening_right", {"eyeWideRight": 1.0}, 0.01),
        ("eye_opening_left", {"eyeWideLeft": 1.0}, 0.01),
        ("brow_height", {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0}, 0.03),
    ],
)
def test_each_measure_grows_with_its_unit(face, name, units, least):
    before, after = measure_face(face()), measure_face(face(**units))
    assert (getattr(after, name) - getattr(before, name)).item() > least
    # The eye that was not asked stays.
    if name.startswith("eye"):
        other = "eye_opening_left" if name.endswith("right") else "eye_opening_right"
        assert (getattr(after, other) - getattr(before, other)).abs().item() < 0.2 * least


def test_mouth_opening_follows_the_jaw_and_not_the_head(face):
    levels = torch.cat([measure_face(face(jawOpen=level)).mouth_opening for level in (0.0, 0.25, 0.5, 0.75, 1.0)])
    assert (levels.diff() > 0).all()
    for yaw in (-20.0, 20.0):
        turned = measure_face(face(yaw=yaw, jawOpen=0.5), torch.tensor([yaw])).mouth_opening
        assert turned.item() == pytest.approx(levels[2].item(), rel=0.08)


def test_size_place_and_roll_do_not_matter(face):
    upright = measure_face(face(jawOpen=0.4)).stacked()
    assert torch.allclose(measure_face(face(jawOpen=0.4) * 0.5 + 0.1).stacked(), upright, atol=1e-5)
    angle = math.radians(25)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert torch.allclose(measure_face(face(jawOpen=0.4) @ turn.T).stacked(), upright, atol=1e-5)


def test_mirrored_faces_swap_the_eyes(face):
    points = face(yaw=10.0, eyeBlinkLeft=0.7)
    mirrored = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    a, b = measure_face(points, torch.tensor([10.0])), measure_face(mirrored, torch.tensor([-10.0]))
    assert torch.allclose(a.eye_opening_left, b.eye_opening_right, atol=1e-5)
    assert torch.allclose(a.mouth_width, b.mouth_width, atol=1e-5)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"landmarks must be \(B, 68, 2\)"):
        measure_face(torch.zeros(1, 66, 2))
    with pytest.raises(ValueError, match=r"yaw must be \(2,\) degrees, got \(3,\)"):
        measure_face(torch.zeros(2, 68, 2), torch.zeros(3))
