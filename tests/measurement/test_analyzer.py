from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.measurement import analyzer as module
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.landmarks import Landmarks
from stylerig_fast.measurement.measurements import MEASURE_LABELS, Measurements
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate, render
from tests.measured import measurements


class Known:
    """A detector that knows where the landmarks are, of the second picture not that there is a face."""

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def detect(self, images: torch.Tensor) -> Landmarks:
        return Landmarks(self.points, torch.tensor([True, False]))


@pytest.fixture(scope="module")
def zero() -> FaceParams:
    """Two frontal faces."""
    model = open_face_model()
    flat = FaceParams.from_vector(torch.zeros(2, sum(model.sizes.values())), model.sizes, model.expression_names)
    return flat.with_blocks(translation=torch.tensor([[0.0, 0.0, -11.0]]).expand(2, 3))


class Encoder:
    def encode(self, images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(images), 3)


class Mesh:
    """A mesh that finds the face of neither picture at the given landmarks but the first."""

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def fit(self, images: torch.Tensor) -> SimpleNamespace:
        found = torch.tensor([True, False])
        return SimpleNamespace(degrees=torch.zeros(2, 3).double(), landmarks=self.points, detected=found)


def test_what_no_estimator_is_passed_in_for_is_not_measured(zero: FaceParams, monkeypatch: pytest.MonkeyPatch):
    points = evaluate(open_face_model(), zero).landmarks
    monkeypatch.setattr(module, "fit_light", None)  # calling it would be an error
    analyzer = FaceAnalyzer(open_face_model(), detector=Known(points))  # type: ignore[arg-type]
    found = analyzer.analyze(torch.full((2, 64, 64, 3), 128, dtype=torch.uint8))
    assert found.descriptor is None and found.fitted_light is None and found.by_mesh is None
    assert found.value_by_mesh("yaw").isnan().all()
    assert found.descriptor_distance(found).isnan().all()
    everything = found.select((*MEASURE_LABELS,))
    assert everything.shape == (2, len(MEASURE_LABELS)) and everything.dtype == torch.float64
    assert not everything[0].isnan().any() and everything[1].isnan().all()
    assert abs(float(found.yaw[0])) < 1
    rendered = analyzer.analyze_rendered(render(open_face_model(), zero, analyzer.camera, 64), zero)
    assert rendered.fitted_light is None and rendered.by_mesh is None
    assert not rendered.select().isnan().any()


def test_estimators_that_are_passed_in_are_used(zero: FaceParams):
    points = evaluate(open_face_model(), zero).landmarks
    analyzer = FaceAnalyzer(
        open_face_model(),
        detector=Known(points),  # type: ignore[arg-type]
        encoder=Encoder(),
        mesh=Mesh(points),
        light_fit=True,
    )
    found = analyzer.analyze(torch.full((2, 64, 64, 3), 128, dtype=torch.uint8))
    assert found.descriptor is not None and found.descriptor[0].tolist() == [1, 1, 1]
    assert found.descriptor[1].isnan().all()
    assert found.fitted_light is not None and found.fitted_light.direction.isnan().all(1).tolist() == [False, True]
    assert found.value_by_mesh("mouth_width").isnan().tolist() == [False, True]
    assert float(found.value_by_mesh("mouth_width")[0]) == pytest.approx(float(found.mouth_width[0]), rel=1e-2)


def test_batches_are_joined_field_by_field():
    first, second = measurements(2, seed=1), measurements(3, seed=2)
    both = Measurements.cat([first, second])
    assert len(both) == 5
    assert torch.equal(both.yaw, torch.cat([first.yaw, second.yaw]))
    assert both.by_mesh is not None and torch.equal(both.by_mesh.yaw[:2], first.value_by_mesh("yaw"))
    assert both.descriptor is None
    with pytest.raises(ValueError, match="there is no measure 'nose'; there are yaw"):
        both.value("nose")
