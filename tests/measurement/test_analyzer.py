from __future__ import annotations

import torch

from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.measurement.analyzer import MEASURED, FaceAnalyzer
from stylerig_fast.measurement.landmarks import Landmarks
from stylerig_fast.params import FaceParams
from stylerig_fast.render import evaluate


class Known:
    """A detector that knows where the landmarks are, of the second picture not that there is a face."""

    def __init__(self, points: torch.Tensor) -> None:
        self.points = points

    def detect(self, images: torch.Tensor) -> Landmarks:
        return Landmarks(self.points, torch.tensor([True, False]))


def test_without_an_encoder_all_but_the_person_is_measured():
    model = open_face_model()
    zero = FaceParams.from_vector(torch.zeros(2, sum(model.sizes.values())), model.sizes, model.expression_names)
    far = zero.with_blocks(translation=torch.tensor([[0.0, 0.0, -11.0]]).expand(2, 3))
    points = evaluate(model, far).landmarks
    analyzer = FaceAnalyzer(model, detector=Known(points))  # type: ignore[arg-type]
    seen = analyzer.analyze(torch.full((2, 64, 64, 3), 128, dtype=torch.uint8))
    assert seen.descriptor.shape == (2, 0)
    assert seen.values.shape == (2, len(MEASURED))
    assert seen.values[1].isnan().all()
    here = seen.values[0]
    mesh = torch.tensor([name.startswith("mesh") for name in MEASURED])
    assert here[mesh].isnan().all() and not here[~mesh].isnan().any()
    assert abs(float(seen.value("yaw")[0])) < 1
