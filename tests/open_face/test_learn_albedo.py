"""Portraits rendered with a known albedo: colours come back, hidden ones do not count, the learned basis is better."""

from __future__ import annotations

import dataclasses

import pytest
import torch

pytest.importorskip("scipy", reason="needs the extra build-face: scipy")

from stylerig_fast.face.lighting import light
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.open_face.albedo_error import refit_error
from stylerig_fast.open_face.learn_albedo import learn_albedo, main
from stylerig_fast.open_face.sample_colours import sample_colours
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render

COMPONENTS, PEOPLE, SIZE = 4, 90, 96


@pytest.fixture(scope="module")
def truth() -> FaceModel:
    model = open_face_model()
    return dataclasses.replace(model, albedo=model.albedo[:COMPONENTS])


@pytest.fixture(scope="module")
def start(truth) -> FaceModel:
    """The same face in one grey tone with useless components."""
    wrong = torch.zeros_like(truth.albedo)
    wrong[:, :, 2] = torch.linspace(0.01, 0.04, COMPONENTS)[:, None]
    return dataclasses.replace(truth, albedo_mean=truth.albedo_mean.mean(0).expand_as(truth.mean).clone(), albedo=wrong)


def people(truth: FaceModel, count: int, seed: int) -> FaceParams:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    rotation = normal(count, 3) * torch.tensor([0.1, 0.35, 0.02])
    return FaceParams(
        identity=0.7 * normal(count, truth.identity.shape[0]),
        albedo=normal(count, COMPONENTS),
        expression=torch.zeros(count, truth.expression.shape[0]),
        illumination=light(
            normal(count, 3) * 0.5 + torch.tensor([0.0, 0.3, 1.0]),
            torch.full((count, 3), 0.4),
            torch.full((count, 3), 0.6),
        ),
        rotation=rotation,
        translation=torch.tensor([[0.0, 0.0, -11.0]]).expand(count, 3),
        expression_names=truth.expression_names,
    )


@pytest.fixture(scope="module")
def portraits(truth) -> tuple[FaceParams, torch.Tensor]:
    params = people(truth, PEOPLE, 0)
    return params, render(truth, params, size=SIZE).image.clamp(0, 1)


def fits(params: FaceParams) -> FaceParams:
    """What a fit with the starting model may say: geometry and light right, albedo unknown."""
    return params.with_blocks(albedo=torch.zeros(len(params), COMPONENTS))


def test_colours_come_back(truth, portraits):
    params, images = portraits
    colours = sample_colours(truth, params, images)
    albedo = truth.albedo_mean + torch.einsum("nc,cvd->nvd", params.blocks["albedo"], truth.albedo)
    sure = colours.weight > 0.8
    assert float(sure.float().mean()) > 0.1
    assert float((colours.albedo - albedo)[sure].abs().median()) < 0.01


def test_hidden_vertices_do_not_count(truth):
    turned = people(truth, 1, 1).with_blocks(rotation=torch.tensor([[0.0, 1.0, 0.0]]))  # the nose to the right
    weight = sample_colours(truth, turned, render(truth, turned, size=SIZE).image.clamp(0, 1)).weight[0]
    ears = truth.mean[:, 0].abs() > 0.75
    left = truth.mean[:, 0] > 0
    assert float(weight[ears & left].max()) == 0
    assert float(weight[ears & ~left].max()) > 0.5


def test_something_before_the_face_does_not_count(truth, portraits):
    params, images = portraits
    covered = images[:4].clone()
    covered[:, :, : SIZE // 2] = torch.tensor([0.0, 0.9, 0.0])[:, None, None]
    free, hidden = (sample_colours(truth, params[:4], x).weight for x in (images[:4], covered))
    upper = truth.landmarks[27:29]
    assert float(free[:, upper].mean()) > 0.5
    assert float(hidden[:, upper].max()) < 0.02


def test_the_learned_basis_beats_the_one_before(truth, start, portraits):
    params, images = portraits
    learned = learn_albedo(start, fits(params), images, name="learned")
    assert learned.name == "learned"
    assert torch.equal(learned.mean, start.mean)
    assert torch.equal(learned.albedo[:, learned.mirror], learned.albedo)
    others = people(truth, 12, 2)
    pictures = render(truth, others, size=SIZE).image.clamp(0, 1)
    before, after, best = (float(refit_error(m, fits(others), pictures).mean()) for m in (start, learned, truth))
    assert best < 0.01
    assert after < 0.4 * before
    front = truth.landmarks[[2, 14, 27, 30, 33, 51, 57]]
    assert float((learned.albedo_mean - truth.albedo_mean)[front].abs().max()) < 0.08


def test_too_few_portraits(start, portraits):
    params, images = portraits
    with pytest.raises(ValueError, match="3 portraits are too few for 4 albedo components"):
        learn_albedo(start, params[:3], images[:3])


def test_the_command_names_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--reconstructor", str(tmp_path), "--portraits", str(tmp_path), "--out", str(tmp_path / "m.safetensors")])
    assert stopped.value.code == 1
    assert "config.json" in capsys.readouterr().err
    assert not (tmp_path / "m.safetensors").exists()
