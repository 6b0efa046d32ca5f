"""The linear edit model: offsets answer requests as the rendered face model does, and cost as little as they may."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.measurements import MEASURES
from stylerig_fast.params import FaceParams
from stylerig_fast.train.config import ClosedFormConfig
from stylerig_fast.train.rig.closed_form import LinearEditModel
from stylerig_fast.train.rig.picture_regression import (
    PictureRegression,
    covariance_with,
    regress_pictures,
    rendered_measures,
)
from tests.train.conftest import world_params

K = 60
# Nothing but the measures counts, and the rest only decides between offsets that answer alike.
ONLY_MEASURES = ClosedFormConfig(measures=1e6, landmarks=0.0, light=1e6, background=0.0, identity=0.0, colours=0.0)


@pytest.fixture(scope="module")
def straight(face_model: FaceModel) -> LinearEditModel:
    """A world of random regressions, in which everything can be had."""
    draw = torch.Generator().manual_seed(0)
    vertices = torch.arange(0, face_model.num_vertices, 50)

    def regressions(*shape: int) -> torch.Tensor:
        return torch.randn(K, *shape, generator=draw) / K**0.5

    width = sum(face_model.sizes.values())
    pictures = PictureRegression(
        measures=regressions(len(MEASURES)),
        std=torch.tensor([12.0, 7.0, 1.0, 0.06, 0.08, 0.04, 0.016, 0.016, 0.03, 0.2, 0.7]),
        landmarks=regressions(102),
        vertices=vertices,
        visibility=torch.ones(len(vertices)),
        colours=regressions(len(vertices), 3),
    )
    codes = torch.randn(2000, K, generator=draw)
    around = covariance_with(codes, torch.randn(2000, 6, generator=draw))
    mean = world_params(face_model, torch.zeros(1, 4, 512))
    return LinearEditModel(
        face_model, Camera(), mean, regressions(width).T.contiguous(), pictures, around, ONLY_MEASURES
    )


def measured(world: LinearEditModel, offset: torch.Tensor) -> dict[str, float]:
    return dict(zip(MEASURES, (offset @ world.pictures.measures * world.pictures.std).tolist(), strict=True))


def test_turns_turn_by_as_many_degrees(straight: LinearEditModel):
    turns = straight.directions()["rotation"] * torch.deg2rad(torch.tensor(10.0))
    pitched, yawed, _ = (measured(straight, turn) for turn in turns)
    # Axis-angle is nearly (−pitch, yaw, −roll).
    assert yawed["yaw"] == pytest.approx(10, abs=0.2) and abs(yawed["pitch"]) < 0.2
    assert pitched["pitch"] == pytest.approx(-10, abs=0.2) and abs(pitched["yaw"]) < 0.2


def test_units_do_what_the_rendered_model_does(straight: LinearEditModel, face_model: FaceModel):
    units = straight.directions()["expression"]
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        ends = [straight.mean.with_expression(**{name: value}) for value in (0.0, 1.0)]
        std = straight.pictures.std
        rest, full = (rendered_measures(face_model, params, Camera(), std)[0][0] for params in ends)
        found = units[face_model.expression_names.index(name)] @ straight.pictures.measures
        torch.testing.assert_close(found[3:9], (full - rest)[3:9], atol=0.02, rtol=0.01)
        assert float(found[:3].abs().max()) < 0.02, "a unit turns no head"
    opened = measured(straight, units[face_model.expression_names.index("jawOpen")])
    assert opened["mouth_opening"] > 0.15


def test_light_is_as_f_sees_it(straight: LinearEditModel, face_model: FaceModel):
    lights = straight.directions()["illumination"]
    start = sum(face_model.sizes[name] for name in ("identity", "albedo", "expression"))
    seen = lights @ straight.response[start : start + 27].T
    # The second-order bands of a face seen from the front are told apart badly; the linear ones well.
    linear = slice(3, 12)
    assert float((seen - torch.eye(27))[linear, linear].abs().max()) < 0.2


@pytest.mark.parametrize("term", ["colours", "background", "identity"])
def test_each_price_keeps_its_own(straight: LinearEditModel, face_model: FaceModel, term: str):
    def change(world: LinearEditModel) -> float:
        turn = world.directions()["rotation"][1]
        identity = world.response[: face_model.sizes["identity"] + face_model.sizes["albedo"]].T
        parts = {
            "colours": world.pictures.colours.flatten(1),
            "background": world.background,
            "identity": identity,
        }
        return float((turn @ parts[term]).square().sum())

    dear = dataclasses.replace(straight, weights=dataclasses.replace(ONLY_MEASURES, **{term: 10.0}))
    assert change(dear) < 0.9 * change(straight)


def test_the_price_of_a_random_offset_is_the_sum_of_the_weights(straight: LinearEditModel):
    weights = ClosedFormConfig(length=0.1, colours=0.9, background=0.1, identity=0.15)
    price = dataclasses.replace(straight, weights=weights).side_effect_penalty()
    assert float(price.trace()) == pytest.approx(1.25, rel=1e-4)
    assert float(torch.linalg.eigvalsh(price).min()) > 0


def test_portraits_are_read(world: Path, face_model: FaceModel):
    """Landmarks and pose of a rendered world depend on the code as its own parameters do."""
    portraits = PortraitSet.load(world, size=32)
    space = LatentPCA.fit(portraits, 20)
    codes = space.whiten_all(portraits)
    own = world_params(face_model, portraits.ws()).vector()
    seen = regress_pictures(portraits, own, codes, face_model, Camera())
    assert seen.measures.shape == (20, len(MEASURES)) and seen.colours.shape[0] == 20
    params = FaceParams.from_vector(own, face_model.sizes, face_model.expression_names)
    yaw = params.pose_degrees()[:, 0]
    truth = codes.T @ (yaw - yaw.mean()) / len(yaw) / seen.std[0]
    assert float(torch.cosine_similarity(seen.measures[:, 0], truth, dim=0)) > 0.95
    assert bool(torch.isfinite(seen.colours).all()) and float(seen.visibility.max()) <= 2
