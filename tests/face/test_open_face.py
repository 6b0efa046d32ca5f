"""The shipped face model: what everything else relies on."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch

from stylerig_fast import ops
from stylerig_fast.face.landmarks import JAW, LEFT_EYE, MIRROR, RIGHT_EYE
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import OPEN_FACE, open_face_model

# The order of Apple's documentation does not matter, the spelling does.
ARKIT = """
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight
eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft
mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower
mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight
noseSneerLeft noseSneerRight tongueOut
""".split()

FLIP = torch.tensor([-1.0, 1.0, 1.0])
# Bases are stored in half precision: equal halves stay equal up to the last of eleven bits of 0.4 dm.
ROUNDING = 5e-4


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return open_face_model()


def unit(model: FaceModel, name: str) -> torch.Tensor:
    return model.expression[model.expression_names.index(name)]


def height(model: FaceModel, shape: torch.Tensor, upper: int, lower: int) -> float:
    return float(shape[model.landmarks[upper], 1] - shape[model.landmarks[lower], 1])


def test_sizes(model):
    assert model.sizes["identity"] == 80
    assert model.sizes["albedo"] == 80
    assert model.sizes["expression"] == 64
    assert 4000 <= model.num_vertices <= 8000
    assert (files("stylerig_fast") / "assets" / OPEN_FACE).stat().st_size <= 8_000_000  # type: ignore[attr-defined]


def test_expression_names(model):
    assert sorted(model.expression_names[:52]) == sorted(ARKIT)
    assert model.expression_names[52:] == tuple(f"residual_{k:02d}" for k in range(12))


def test_mirror_map(model):
    assert torch.equal(model.mirror[model.mirror], torch.arange(model.num_vertices))
    assert torch.allclose(model.mean[model.mirror] * FLIP, model.mean, atol=1e-5)


def test_identity_and_albedo_are_symmetric(model):
    assert torch.allclose(model.identity[:, model.mirror] * FLIP, model.identity, atol=ROUNDING)
    assert torch.equal(model.albedo[:, model.mirror], model.albedo)
    assert torch.equal(model.albedo_mean[model.mirror], model.albedo_mean)


def test_left_and_right_units_are_mirror_images(model):
    for name in ARKIT:
        other = name.replace("Left", "Right") if "Left" in name else name.replace("Right", "Left")
        mirrored = unit(model, name)[model.mirror] * FLIP
        assert torch.allclose(mirrored, unit(model, other), atol=ROUNDING), name


def test_frame(model):
    """Decimetres, y up, facing +z, the origin inside the head."""
    low, high = model.mean.amin(0), model.mean.amax(0)
    assert 1.4 < float(high[0] - low[0]) < 2.2
    assert 1.6 < float(high[1] - low[1]) < 2.4
    assert float(low[2]) < 0 < 0.9 < float(high[2]) < 1.4
    assert int(model.mean[:, 2].argmax()) in torch.where(model.mean[:, 0].abs() < 0.05)[0].tolist()  # the nose
    # The eyes' outer corners are about 9 cm apart.
    corners = model.mean[model.landmarks[[36, 45]]]
    assert 0.75 < float((corners[1] - corners[0]).norm()) < 1.0


def test_landmarks_are_mirrored_pairs(model):
    assert torch.equal(model.mirror[model.landmarks], model.landmarks[list(MIRROR)])
    assert len(set(model.landmarks.tolist())) == 68


def test_landmarks_lie_where_their_numbers_say(model):
    x, y, z = model.mean[model.landmarks].unbind(-1)
    assert bool((x[:8] < 0).all()) and bool((x[9:17] > 0).all())  # the subject's right is the picture's left
    assert bool((x[list(JAW)].diff() > 0).all())
    assert int(y[list(JAW)].argmin()) == 8
    assert bool((x[17:27].diff() > 0).all())
    for eye, brow in ((RIGHT_EYE, range(17, 22)), (LEFT_EYE, range(22, 27))):
        assert float(y[list(brow)].min()) > float(y[list(eye)].max())
        assert float(y[eye[1]]) > float(y[eye[5]]) and float(y[eye[2]]) > float(y[eye[4]])
    assert bool((y[27:31].diff() < 0).all()) and bool((z[27:31].diff() > 0).all())
    assert float(y[30]) > float(y[33]) > float(y[51]) > float(y[62])
    assert float(y[66]) > float(y[57]) > float(y[8])
    assert abs(float(y[62] - y[66])) < 0.01  # the lips are closed
    assert float(x[48]) < float(x[60]) < float(x[61]) < 0 < float(x[63]) < float(x[64]) < float(x[54])


def visible_facing(model: FaceModel, shape: torch.Tensor, yaw: float = 0.0) -> tuple[float, int]:
    """Share of the visible triangles that face the camera, and how many pixels are seen."""
    turn = torch.tensor([[0.0, yaw, 0.0]]).deg2rad()
    vertices = shape @ ops.rotation_matrix(turn)[0].T + torch.tensor([0.0, 0.0, -11.0])
    seen = ops.rasterize(vertices[None], model.triangles, 4.26, 160, 160).triangle
    triangles = seen[seen >= 0].unique()
    a, b, c = vertices[model.triangles[triangles].long()].unbind(1)
    towards = (torch.linalg.cross(b - a, c - a) * -a).sum(-1) > 0
    return float(towards.float().mean()), int((seen >= 0).sum())


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 40.0])
def test_triangles_face_outward(model, yaw):
    share, pixels = visible_facing(model, model.mean, yaw)
    assert pixels > 3000
    # Behind the ears' rims and in the mouth the inside may show at an edge.
    assert share > 0.98


def test_mesh_is_sound(model):
    used = model.triangles.long()
    assert len(used.unique()) == model.num_vertices
    edges = torch.cat([used[:, [0, 1]], used[:, [1, 2]], used[:, [2, 0]]])
    # A directed edge that is there twice is a flipped or doubled triangle.
    assert len(edges.unique(dim=0)) == len(edges)
    a, b, c = model.mean[used].unbind(1)
    assert float(torch.linalg.cross(b - a, c - a).norm(dim=-1).min()) > 1e-6


@pytest.mark.parametrize("mode", range(0, 80, 8))
@pytest.mark.parametrize("deviations", [-2.0, 2.0])
def test_identities_do_not_fold(model, mode, deviations):
    shape = model.mean + deviations * model.identity[mode]
    share, _ = visible_facing(model, shape)
    assert share > 0.97
    # Landmarks keep their order from top to bottom.
    y = shape[model.landmarks, 1]
    assert float(y[27]) > float(y[30]) > float(y[33]) > float(y[51]) > float(y[57]) > float(y[8])


def test_identity_modes_are_ordered_and_of_human_size(model):
    spread = model.identity.square().sum(-1).mean(-1).sqrt()
    assert 0.01 < float(spread[0]) < 0.06  # one standard deviation is some millimetres
    assert float(spread[-1]) > 2e-4
    assert bool((spread[:-8] > 0.6 * spread[8:]).all())


def test_jaw_open_opens_the_mouth_only(model):
    shape = model.mean + unit(model, "jawOpen")
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        opened = height(model, shape, upper, lower) - height(model, model.mean, upper, lower)
        assert 0.2 < opened < 0.6
    assert float(unit(model, "jawOpen")[model.landmarks[17:48]].norm(dim=-1).max()) < 0.03
    assert height(model, shape, 27, 8) - height(model, model.mean, 27, 8) > 0.1


@pytest.mark.parametrize(
    ("name", "closes", "stays"),
    [("eyeBlinkLeft", ((43, 47), (44, 46)), RIGHT_EYE), ("eyeBlinkRight", ((38, 40), (37, 41)), LEFT_EYE)],
)
def test_a_blink_closes_its_own_eye_only(model, name, closes, stays):
    shape = model.mean + unit(model, name)
    for upper, lower in closes:
        before, after = height(model, model.mean, upper, lower), height(model, shape, upper, lower)
        assert before > 0.05
        assert abs(after) < 0.2 * before
    assert float(unit(model, name)[model.landmarks[list(stays)]].norm(dim=-1).max()) < 0.005


@pytest.mark.parametrize(
    ("name", "landmark", "direction", "least"),
    [
        ("mouthSmileLeft", 54, (0.5, 1.0, 0.0), 0.04),
        ("mouthSmileRight", 48, (-0.5, 1.0, 0.0), 0.04),
        ("mouthFrownLeft", 54, (0.0, -1.0, 0.0), 0.02),
        ("mouthStretchRight", 48, (-1.0, 0.0, 0.0), 0.02),
        ("mouthPucker", 54, (-1.0, 0.0, 0.0), 0.03),
        ("mouthPucker", 48, (1.0, 0.0, 0.0), 0.03),
        ("mouthLeft", 51, (1.0, 0.0, 0.0), 0.03),
        ("mouthRight", 51, (-1.0, 0.0, 0.0), 0.03),
        ("mouthUpperUpLeft", 52, (0.0, 1.0, 0.0), 0.02),
        ("mouthLowerDownRight", 58, (0.0, -1.0, 0.0), 0.02),
        ("jawLeft", 8, (1.0, 0.0, 0.0), 0.02),
        ("jawRight", 8, (-1.0, 0.0, 0.0), 0.02),
        ("jawForward", 8, (0.0, 0.0, 1.0), 0.02),
        ("browInnerUp", 21, (0.0, 1.0, 0.0), 0.02),
        ("browInnerUp", 22, (0.0, 1.0, 0.0), 0.02),
        ("browOuterUpLeft", 25, (0.0, 1.0, 0.0), 0.02),
        ("browDownRight", 20, (0.0, -1.0, 0.0), 0.02),
        ("eyeWideLeft", 43, (0.0, 1.0, 0.0), 0.01),
        ("noseSneerRight", 31, (0.0, 1.0, 0.0), 0.01),
    ],
)
def test_units_move_what_they_name(model, name, landmark, direction, least):
    towards = torch.nn.functional.normalize(torch.tensor(direction), dim=0)
    assert float(unit(model, name)[model.landmarks[landmark]] @ towards) > least


def test_every_unit_moves_something_but_the_tongue(model):
    size = model.expression.norm(dim=-1).amax(-1)
    still = [name for name, value in zip(model.expression_names, size, strict=True) if float(value) < 1e-3]
    assert still == ["tongueOut"]  # the mesh has no tongue
    assert float(size.max()) < 0.6


def test_mouth_close_closes_what_jaw_open_opens(model):
    opened = model.mean + 0.5 * unit(model, "jawOpen")
    closed = opened + 0.5 * unit(model, "mouthClose")
    assert abs(height(model, closed, 62, 66)) < 0.15 * height(model, opened, 62, 66)


def test_colours_are_of_skin(model):
    inner = model.albedo_mean[model.landmarks[[27, 28, 29, 2, 14]]]
    red, green, blue = inner.unbind(-1)
    assert bool(((red > green) & (green > blue)).all())
    assert float(model.albedo_mean.min()) >= 0 and float(model.albedo_mean.max()) <= 1
    # A deviation is a plausible change of colour.
    assert 0.01 < float(model.albedo[0].square().mean().sqrt()) < 0.2
