from __future__ import annotations

import pytest
import torch

from stylerig_fast.face import Camera
from stylerig_fast.face.landmarks import MIRROR
from stylerig_fast.face.lighting import light
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.measurement.lighting import as_pictures, fit_light, measure_light
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render

MODEL = open_face_model()


def lit(direction, share=0.6, yaw=0.0):
    """The rendered open face under one directional light and an ambient term."""
    sizes = MODEL.sizes
    params = FaceParams(
        identity=torch.zeros(1, sizes["identity"]),
        albedo=torch.zeros(1, sizes["albedo"]),
        expression=torch.zeros(1, sizes["expression"]),
        illumination=light(torch.tensor([direction]), torch.full((1, 3), share), torch.full((1, 3), 1 - share)),
        rotation=degrees_to_axis_angle(torch.tensor([[yaw, 0.0, 0.0]])),
        translation=torch.tensor([[0.0, 0.0, -11.0]]),
        expression_names=MODEL.expression_names,
    )
    return render(MODEL, params, Camera(), 128)


def test_asymmetry_has_the_sign_of_the_light():
    left, front, right = (lit((x, 0.0, 1.0)) for x in (-1.0, 0.0, 1.0))
    asymmetry = [measure_light(face.image, face.landmarks).asymmetry.item() for face in (left, front, right)]
    assert asymmetry[0] < -0.2
    assert abs(asymmetry[1]) < 0.03
    assert asymmetry[2] == pytest.approx(-asymmetry[0], abs=0.05)


def test_mirrored_pictures_have_the_mirrored_light():
    face = lit((1.0, 0.5, 1.0), yaw=15.0)
    points = face.landmarks[:, list(MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    straight, mirrored = measure_light(face.image, face.landmarks), measure_light(face.image.flip(3), points)
    assert mirrored.asymmetry.item() == pytest.approx(-straight.asymmetry.item(), abs=0.02)
    assert mirrored.luminance.item() == pytest.approx(straight.luminance.item(), abs=0.005)


def test_luminance_is_that_of_the_face_alone():
    face = lit((0.0, 0.0, 1.0))
    dim, bright = measure_light(face.image * 0.5, face.landmarks), measure_light(face.image, face.landmarks)
    assert dim.luminance.item() == pytest.approx(0.5 * bright.luminance.item(), rel=1e-5)
    assert dim.asymmetry.item() == pytest.approx(bright.asymmetry.item(), abs=1e-4)
    outside = torch.where(face.mask[:, None], face.image, torch.ones_like(face.image))
    assert measure_light(outside, face.landmarks).luminance.item() == pytest.approx(bright.luminance.item(), abs=0.02)


@pytest.mark.parametrize("yaw", [0.0, 20.0])
def test_fitted_direction_is_the_light_s(yaw):
    """The mean albedo under a known light: the direction comes back whichever way the head is turned."""
    estimator = PoseEstimator(MODEL)
    for direction in ((1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (0.0, 1.0, 1.0)):
        face = lit(direction, yaw=yaw)
        found = fit_light(face.image, estimator.fit(face.landmarks), MODEL).direction[0]
        cosine = torch.cosine_similarity(found, torch.tensor(direction, dtype=found.dtype), dim=0)
        assert cosine > 0.9, (direction, found)


def test_a_fitted_light_is_no_more_directional_than_one_lamp():
    """With more contrast than light can make, the constant term would be near zero or below."""
    face = lit((1.0, 0.0, 1.0), share=0.3)
    pose = PoseEstimator(MODEL).fit(face.landmarks)
    harsh = fit_light(((face.image - 0.5) * 4).clamp(0, 1), pose, MODEL).direction[0]
    assert harsh.norm() == pytest.approx(3**0.5)
    assert torch.cosine_similarity(harsh, torch.tensor([1.0, 0.0, 1.0], dtype=harsh.dtype), dim=0) > 0.85


def test_tint_is_the_light_s():
    """Halving the red of a picture is halving the red of its light."""
    face = lit((1.0, 0.0, 1.0))
    pose = PoseEstimator(MODEL).fit(face.landmarks)
    white = fit_light(face.image, pose, MODEL).tint[0]
    red = fit_light(face.image * torch.tensor([0.5, 1.0, 1.0])[:, None, None], pose, MODEL).tint[0]
    assert white.abs().max() < 0.05
    assert (red - white - torch.tensor([-0.6931, 0.0])).abs().max() < 1e-3


def test_even_light_has_no_asymmetry_and_empty_batches_pass():
    face = lit((0.0, 0.0, 1.0), share=0.0)
    assert measure_light(face.image, face.landmarks).asymmetry.abs().item() < 0.02
    nobody = measure_light(torch.zeros(0, 3, 64, 64), torch.zeros(0, 68, 2))
    assert nobody.asymmetry.shape == (0,)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"uint8 \(B, H, W, 3\)"):
        as_pictures(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="pictures must be float"):
        measure_light(torch.zeros(1, 8, 8, 3), torch.zeros(1, 68, 2))
    with pytest.raises(ValueError, match=r"landmarks must be \(1, 68, 2\)"):
        measure_light(torch.zeros(1, 3, 8, 8), torch.zeros(2, 68, 2))
