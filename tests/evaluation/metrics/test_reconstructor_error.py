from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from stylerig_fast.evaluation.metrics.reconstructor_error import GOALS, measure_reconstructor, reconstructor_error
from stylerig_fast.evaluation.metrics.results import Report
from stylerig_fast.face import Camera
from stylerig_fast.face.landmarks import JAW
from stylerig_fast.face.lighting import light
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.face.rotation import degrees_to_axis_angle
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render

MODEL = open_face_model()
FACES = 8


def faces():
    sizes, rng = MODEL.sizes, torch.Generator().manual_seed(0)
    return FaceParams(
        identity=torch.randn(FACES, sizes["identity"], generator=rng) * 0.3,
        albedo=torch.zeros(FACES, sizes["albedo"]),
        expression=torch.zeros(FACES, sizes["expression"]),
        illumination=light(*(torch.tensor([v]).expand(FACES, 3) for v in ((0.2, 0.3, 1.0), (0.5,) * 3, (0.5,) * 3))),
        rotation=degrees_to_axis_angle(torch.randn(FACES, 3, generator=rng) * torch.tensor([12.0, 8.0, 1.0])),
        translation=torch.tensor([[0.0, -0.1, -10.5]]).expand(FACES, 3),
        expression_names=MODEL.expression_names,
    )


@pytest.fixture(scope="module")
def portraits():
    """Portraits that are the rendered face models: what a perfect reconstructor would say is known."""
    params = faces()
    seen = render(MODEL, params, Camera(), 64)
    detected = torch.ones(FACES, dtype=torch.bool)
    detected[-1] = False
    codes = torch.arange(FACES).float()
    return SimpleNamespace(
        images=(seen.image.clamp(0, 1) * 255).round().to(torch.uint8),
        landmarks=seen.landmarks,
        detected=detected,
        size=64,
        ws=lambda rows: codes[rows],
        __len__=None,
    )


class Set(SimpleNamespace):
    def __len__(self):
        return len(self.landmarks)


def report(portraits, change=lambda params: params):
    return measure_reconstructor(lambda w: change(faces()[w.long()]), MODEL, Camera(), Set(**vars(portraits)), batch=3)


def test_a_perfect_reconstructor_has_no_error_but_the_estimator_s(portraits):
    found = report(portraits)
    values = {name: figure.value for name, figure in found.estimates.items()}
    assert values["landmarks.paper_66_percent"] < 1e-3
    assert values["colour.rms"] < 0.003  # pictures are stored in 8 bits
    assert values["pose.yaw_error"] < 1.0
    assert values["pose.yaw_slope"] == pytest.approx(1, abs=0.06)
    assert not found.missed
    assert found.settings["portraits"] == FACES - 1
    assert found.settings["without_face"] == 1


def test_a_reconstructor_that_turns_too_little_is_found_out(portraits):
    def flatter(params):
        degrees = params.pose_degrees()
        return params.with_pose(yaw=0.6 * degrees[:, 0] + 1, pitch=degrees[:, 1] + 5)

    found = report(portraits, flatter)
    assert found.estimates["pose.yaw_slope"].value == pytest.approx(0.6, abs=0.05)
    assert found.estimates["pose.pitch_bias"].value == pytest.approx(5, abs=1.0)
    assert {"landmarks.paper_66_percent", "pose.pitch_error"} <= set(found.missed)


def test_figures_are_percent_of_the_eye_distance():
    stored = torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(0))
    eye = (stored[:, 36] - stored[:, 45]).norm(dim=-1)
    predicted = stored.clone()
    predicted[:, list(JAW), 0] += 0.1 * eye[:, None]  # a tenth of the eye distance, on 17 of the 66
    degrees = torch.zeros(3, 3).double()
    figures = reconstructor_error(predicted, stored, degrees, degrees, torch.full((3,), 0.04))
    assert figures["landmarks.paper_66_percent"].value == pytest.approx(10 * 17 / 66, rel=1e-4)
    assert figures["landmarks.inner_49_percent"].value == pytest.approx(0, abs=1e-5)
    assert figures["colour.rms"].value == pytest.approx(0.2)
    assert Report("F", figures, GOALS).missed == ["colour.rms"]


def test_estimator_can_be_another(portraits):
    strict = PoseEstimator(MODEL, noise=0.2)
    found = measure_reconstructor(lambda w: faces()[w.long()], MODEL, Camera(), Set(**vars(portraits)), strict, batch=8)
    assert found.estimates["pose.yaw_error"].value > 0
