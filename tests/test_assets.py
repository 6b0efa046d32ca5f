"""The shipped weights: they are whole, small enough, and their edits happen in the picture."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import torch

from stylerig_fast import Engine, FaceParams
from stylerig_fast.errors import BackendUnavailable, CheckpointError
from stylerig_fast.evaluation.analyzers import describing_analyzer
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.lighting import measure_light


@pytest.fixture(scope="module")
def engine() -> Engine:
    try:
        return Engine.from_pretrained("mobilestylegan-ffhq", resolution=512)
    except CheckpointError as error:
        if "pip install" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module")
def analyzer(engine: Engine) -> FaceAnalyzer:
    try:
        return describing_analyzer(engine.face_model, engine.camera)
    except BackendUnavailable as error:
        pytest.skip(str(error))


def test_size() -> None:
    assets = Path(str(files("stylerig_fast") / "assets"))
    assert sum(path.stat().st_size for path in assets.rglob("*") if path.is_file()) <= 25_000_000


@pytest.mark.slow
def test_edits_happen_in_the_picture(engine: Engine, analyzer: FaceAnalyzer) -> None:
    """Three people; the model card has the figures over forty."""
    w = engine.sample(seed=5, n=8)
    w = w[engine.params(w).pose_degrees()[:, 0].abs() < 10][:3]
    own = engine.params(w)
    yaw = own.pose_degrees()[:, 0]
    before = analyzer.analyze(engine.render(w, output="torch"))

    def after(params: FaceParams):
        return analyzer.analyze(engine.edit(w, params, output="torch"))

    for step in (-15.0, 15.0):
        turned = after(own.with_pose(yaw=yaw + step)).value("yaw") - before.value("yaw")
        assert float(turned.mean() / step) == pytest.approx(1.0, abs=0.3)
    closed, opened = after(own.with_expression(jawOpen=0.0)), after(own.with_expression(jawOpen=0.5))
    assert bool((opened.value("mouth_opening") - closed.value("mouth_opening") > 0.05).all())
    left, right = after(own.with_light(direction=(-1, 0, 1))), after(own.with_light(direction=(1, 0, 1)))
    assert bool((right.value("light") - left.value("light") > 0.1).all())
    distance = (opened.descriptor - before.descriptor).norm(dim=1)
    assert float(distance.mean()) < 0.4  # different people are 0.73 apart


@pytest.mark.slow
def test_edits_keep_the_exposure(engine: Engine) -> None:
    w = engine.sample(seed=7)
    pictures = [engine.render(w), engine.edit(w, FaceParams().with_light(direction=(1, 0, 1)))]
    planes = torch.from_numpy(pictures[0]), torch.from_numpy(pictures[1])
    landmarks = engine.mesh(engine.params(w)).landmarks
    levels = [float(measure_light(plane.permute(0, 3, 1, 2).float() / 255, landmarks).luminance) for plane in planes]
    assert levels[1] == pytest.approx(levels[0], rel=0.15)
