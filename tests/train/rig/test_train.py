from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stylerig_fast.data.latent_pca import LatentPCA
from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.param_layout import ParamLayout
from stylerig_fast.params import FaceParams
from stylerig_fast.reconstructor import FaceReconstructor
from stylerig_fast.rignet import RigConfig, RigNet, build
from stylerig_fast.train.batch import gather
from stylerig_fast.train.config import (
    ClosedFormConfig,
    CycleConfig,
    GainCalibrationConfig,
    ImageCorrectionConfig,
    PersonCorrectionConfig,
    PortraitConfig,
    ReconstructorTraining,
    RigDataConfig,
    RigNetworkConfig,
    RigRunConfig,
    RigTraining,
    RunConfig,
)
from stylerig_fast.train.previews import edit_grid
from stylerig_fast.train.reconstructor import run as train_reconstructor
from stylerig_fast.train.rig.dataset_statistics import DatasetStatistics, reconstruct_all
from stylerig_fast.train.rig.losses import RigLosses
from stylerig_fast.train.rig.slider_requests import SurfaceObjective, draw_slider_requests
from stylerig_fast.train.rig.train import run, solve
from tests.train.conftest import world_params


@pytest.fixture(scope="module")
def reconstructor(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    train_reconstructor(
        ReconstructorTraining(
            data=PortraitConfig(portraits=world, size=32),
            steps=120,
            batch=8,
            hidden=64,
            noise=0.0,
            lr=3e-3,
            run=RunConfig(name="reconstructor", runs=runs),
        )
    )
    return runs / "reconstructor" / "reconstructor"


# Where each option of `training` is.
GROUPS = {
    "network": ("form", "controls", "components", "rank"),
    "closed_form": ("start", "background_components"),
    "cycle": ("steps", "pairs", "requests", "siamese", "lr"),
}


def training(world: Path, reconstructor: Path, tmp_path: Path, name: str = "rig", **options: Any) -> RigTraining:
    """A small training without a generator; ``options`` are of `GROUPS`, of the run, or ``people`` of step 3."""
    values: dict[str, Any] = {"steps": 15, "pairs": 2, "requests": 8, "components": 40, "rank": 4}
    values |= {"background_components": 4, "log_every": 3, "size": 32} | options
    groups = {group: {key: values.pop(key) for key in keys if key in values} for group, keys in GROUPS.items()}
    return RigTraining(
        data=RigDataConfig(portraits=world, reconstructor=reconstructor, size=values.pop("size")),
        network=RigNetworkConfig(**groups["network"]),
        closed_form=ClosedFormConfig(**groups["closed_form"]),
        person=PersonCorrectionConfig(values.pop("people", 8000)),
        cycle=CycleConfig(**groups["cycle"]),
        images=ImageCorrectionConfig(0),
        gains=GainCalibrationConfig(0),
        run=RigRunConfig(name=name, runs=tmp_path, preview_people=0, **values),
    )


class Oracle(RigNet):
    """Edits that are always there, or never."""

    def __init__(self, config: RigConfig, codes: torch.Tensor) -> None:
        super().__init__(config)
        self.codes = codes

    def forward(self, w: torch.Tensor, params: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        return self.codes[: len(w)] if len(w) == len(self.codes) else w


def losses(
    world: Path,
    reconstructor: Path,
    tmp_path: Path,
    model: FaceModel,
    rig_of: Callable[[RigConfig], RigNet],
    controls: tuple[str, ...] = ("pose",),
) -> tuple[RigLosses, PortraitSet, torch.Tensor]:
    config = training(world, reconstructor, tmp_path, controls=controls)
    net = FaceReconstructor.from_pretrained(reconstructor)
    portraits = PortraitSet.load(world, size=32, shards="train")
    latent_pca = LatentPCA.fit(portraits, 40)
    rig = rig_of(RigConfig(num_ws=portraits.num_ws, sizes=model.sizes, controls=controls))
    found = RigLosses(model, net, rig, latent_pca, torch.eye(40), config.cycle.render, config.cycle.weights)
    return found, portraits, reconstruct_all(net, portraits, "cpu")


def test_an_edit_that_happens_costs_less_than_one_that_does_not(
    world: Path, reconstructor: Path, tmp_path: Path, face_model: FaceModel
) -> None:
    """The classic bug scores L_edit against I_w, and then the edit that never happens wins."""
    portraits = PortraitSet.load(world, size=32, shards="train")
    yaw = world_params(face_model, portraits.ws()).pose_degrees()[:, 0]
    order = yaw.argsort()
    first, second = order[:6], order[-6:]  # far apart in yaw
    done, _, source = losses(world, reconstructor, tmp_path, face_model, lambda c: Oracle(c, portraits.ws(second)))
    undone, _, _ = losses(world, reconstructor, tmp_path, face_model, lambda c: Oracle(c, portraits.ws(first)))
    batch_w, batch_v = gather(portraits, first), gather(portraits, second)
    cost = [float(each.pairs(batch_w, batch_v, source[first], source[second])["edit"]) for each in (done, undone)]
    assert cost[0] < 0.5 * cost[1]


def test_preserved_blocks_are_scored_and_translation_is_not(
    world: Path, reconstructor: Path, tmp_path: Path, face_model: FaceModel
) -> None:
    each, _, _ = losses(world, reconstructor, tmp_path, face_model, lambda c: build(c))
    assert each.edited.sum() == 3
    assert not bool((each.edited & each.preserved).any())
    neither = ~(each.edited | each.preserved)[0]
    assert neither.nonzero()[:, 0].tolist() == list(range(neither.numel() - 3, neither.numel()))


@pytest.mark.parametrize(
    "options", [{}, {"start": "zero"}, {"form": "linear", "start": "zero"}, {"controls": ("pose", "expression")}]
)
def test_training_makes_slider_requests_happen(
    world: Path, reconstructor: Path, tmp_path: Path, face_model: FaceModel, options: dict[str, Any]
) -> None:
    config = training(world, reconstructor, tmp_path, lr=3e-3, **options)
    rig = run(config)
    again = RigNet.from_pretrained(tmp_path / "rig" / "rig")
    for name, value in rig.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert (tmp_path / "rig" / "engine" / "reach.json").exists()
    assert list((tmp_path / "rig").glob("events.*"))
    trained, portraits, source = losses(world, reconstructor, tmp_path, face_model, lambda _: rig, rig.config.controls)
    lazy, _, _ = losses(world, reconstructor, tmp_path, face_model, lambda c: Oracle(c, NOBODY), rig.config.controls)
    cost = [
        float(
            sum(
                each.requests(portraits.ws(), source, each.draw_targets(source, torch.Generator().manual_seed(5)))[k]
                for k in ("surface", "shading")
            )
        )
        for each in (trained, lazy)
    ]
    assert cost[0] < cost[1]


def test_what_is_computed_and_solved_once_serves_several_trainings(
    world: Path, reconstructor: Path, tmp_path: Path
) -> None:
    config = training(world, reconstructor, tmp_path, steps=3)
    alone = run(config)
    stats = DatasetStatistics.load(config)
    solved = solve(config, stats)
    before = {name: value.clone() for name, value in solved.state.items()}
    for name in ("first", "second"):
        again = run(training(world, reconstructor, tmp_path, name=name, steps=3), stats, solved)
        assert all(torch.equal(value, again.state_dict()[key]) for key, value in alone.state_dict().items())
    assert all(torch.equal(value, solved.state[name]) for name, value in before.items())
    other = run(training(world, reconstructor, tmp_path, name="third", steps=3, siamese=False), stats, solved)
    assert not all(torch.equal(value, other.state_dict()[key]) for key, value in alone.state_dict().items())


def test_a_trained_rig_is_frozen(world: Path, reconstructor: Path, tmp_path: Path) -> None:
    rig = run(training(world, reconstructor, tmp_path, steps=1))
    assert not rig.training and not any(value.requires_grad for value in rig.parameters())


# An Oracle without codes leaves everybody as they are.
NOBODY = torch.zeros(0, 0)


def test_code_space_whitens(world: Path) -> None:
    portraits = PortraitSet.load(world, size=16)
    space = LatentPCA.fit(portraits, 20)
    codes = space.whiten_all(portraits)
    torch.testing.assert_close(codes.T @ codes / len(codes), torch.eye(20), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="components of 96 portraits"):
        LatentPCA.fit(portraits, 200)


def test_requests_change_one_control_only(face_model: FaceModel) -> None:
    source = world_params(face_model, torch.randn(64, 4, 512, generator=torch.Generator().manual_seed(3)))
    for control, block in (("pose", "rotation"), ("expression", "expression"), ("illumination", "illumination")):
        wanted = draw_slider_requests(source, torch.Generator().manual_seed(1), (control,))
        for name, value in source.blocks.items():
            changed = not torch.equal(wanted.blocks[name], value)
            assert changed == (name == block), (control, name)
    degrees = draw_slider_requests(source, torch.Generator().manual_seed(1), ("pose",)).pose_degrees()
    assert float(degrees[:, 0].abs().max()) <= 30.01
    torch.testing.assert_close(degrees[:, 2], source.pose_degrees()[:, 2], atol=1e-3, rtol=0)
    again = draw_slider_requests(source, torch.Generator().manual_seed(1), ("pose",)).pose_degrees()
    assert torch.equal(again, degrees)


def test_surface_objective_sees_every_block(face_model: FaceModel) -> None:
    objective = SurfaceObjective(face_model, Camera())
    source = world_params(face_model, torch.randn(2, 4, 512, generator=torch.Generator().manual_seed(3)))
    assert float(torch.stack(objective(source, source)).abs().max()) == 0
    columns = ParamLayout(face_model.sizes).columns(("pose", "expression", "illumination"))
    vector = source.vector().clone().requires_grad_()
    moved = FaceParams.from_vector(vector + 0.01, face_model.sizes, face_model.expression_names)
    distance, colour = objective(moved, source)
    (distance.sum() + colour.sum()).backward()
    assert vector.grad is not None
    # Units without vertices on the outer face (the tongue, the gaze) may be without effect.
    assert float((vector.grad[:, columns] != 0).float().mean()) > 0.8


def test_edit_grid_shows_every_person_and_request(reconstructor: Path, face_model: FaceModel) -> None:
    generator = MobileStyleGAN(channels=(8, 8), w_dim=512, mapping_layers=1, name="untrained").requires_grad_(False)
    net = FaceReconstructor.from_pretrained(reconstructor)
    rig = build(RigConfig(num_ws=generator.num_ws, sizes=face_model.sizes, components=4, rank=2))
    codes = generator.sample(3)
    grid = edit_grid(generator, rig, net, codes)
    size = generator.resolution
    assert grid.shape == (3 * size, 6 * size, 3)
    # This rig edits nothing: every column is the picture as it is.
    assert bool((grid.reshape(3 * size, 6, size, 3) == grid[:, None, :size]).all())
