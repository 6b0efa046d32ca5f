"""Errors that pictures show of edits are corrected: either way of a turn, its square, and unit by unit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.analyzer import FaceAnalyzer
from stylerig_fast.measurement.measurements import MEASURES, Measurements
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.params import FaceParams
from stylerig_fast.render import render
from stylerig_fast.rignet import RigConfig, SubspaceRigNet
from stylerig_fast.train.rig import image_correction
from stylerig_fast.train.rig.image_correction import correct_by_edits_of

K, SLOTS, PEOPLE = 15, 2, 200
# Components of the code that move one measure each, a deviation per deviation; a radian of yaw is ten of the first's.
COMPONENT = {name: i for i, name in enumerate(MEASURES)}


class World:
    """Codes whose pictures show measures that an edit of yaw, or of the jaw, moves along, more in some people."""

    def __init__(self, model: FaceModel) -> None:
        self.face_model, self.camera, self.device = model, Camera(), torch.device("cpu")
        draw = torch.Generator().manual_seed(0)
        self.basis = torch.linalg.qr(torch.randn(SLOTS * 512, K, generator=draw))[0].T.contiguous()
        self.rig_net = SubspaceRigNet(RigConfig(SLOTS, model.sizes, components=K, rank=40)).requires_grad_(False)
        self.rig_net.basis.copy_(self.basis)
        self.rig_net.product.zero_()
        self.start = {name: sum(model.sizes[n] for n in BLOCKS[: BLOCKS.index(name)]) for name in BLOCKS}
        columns = self.rig_net.columns.tolist()
        self.jaw = columns.index(self.start["expression"] + model.expression_names.index("jawOpen"))
        self.rig_net.direction[columns.index(self.start["rotation"] + 1), COMPONENT["yaw"]] = 10.0
        self.rig_net.direction[columns.index(self.start["rotation"]), COMPONENT["pitch"]] = -10.0
        self.rig_net.direction[self.jaw, K - 1] = 1.0
        self.reconstructor = SimpleNamespace(vector=self.vector)
        self.std = torch.tensor([10.0, 7.0, 1.0, 0.05, 0.08, 0.04, 0.015, 0.015, 0.03, 0.2, 1.0])
        # A deviation of these components is a tenth of a radian.
        self.angles = torch.rad2deg(torch.tensor(0.1)) / self.std[:2]
        self.shown: list[Tensor] = []

    def people(self, seed: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed)
        return (torch.randn(PEOPLE, K, generator=draw) @ self.basis).unflatten(1, (SLOTS, 512))

    def vector(self, w: Tensor) -> Tensor:
        """F: pose, and the first identity coefficient tells people apart."""
        y = w.flatten(1) @ self.basis.T
        vector = torch.zeros(len(w), sum(self.face_model.sizes.values()))
        vector[:, 0] = y[:, K - 2]
        vector[:, self.start["illumination"]] = 3.0
        vector[:, self.start["rotation"] + 1] = 0.1 * y[:, COMPONENT["yaw"]]
        vector[:, self.start["rotation"]] = -0.1 * y[:, COMPONENT["pitch"]]
        vector[:, self.start["translation"] + 2] = -11.0
        return vector

    def seen(self, w: Tensor) -> Measurements:
        """Yaw closes the eyes either way, opens the mouth more in some people; the jaw's unit turns the head."""
        y = w.flatten(1) @ self.basis.T
        values = y[:, : len(MEASURES)].clone()
        yaw, jaw, person = y[:, COMPONENT["yaw"]], y[:, K - 1], y[:, K - 2]
        for side in ("right", "left"):
            values[:, COMPONENT[f"eye_opening_{side}"]] -= 0.15 * yaw**2
        values[:, COMPONENT["mouth_opening"]] += 0.3 * yaw * (1 + person)
        values[:, COMPONENT["pitch"]] += 0.5 * jaw
        values[:, :2] *= self.angles
        values = values * self.std
        return Measurements(
            **{name: values[:, COMPONENT[name]].double() for name in MEASURES},
            luminance=yaw,
            detected=torch.ones(len(w), dtype=torch.bool),
            landmarks=torch.rand(len(w), 68, 2),
        )

    # ---- an Engine, as far as it is asked, and who looks at its pictures ----------------------------------

    def params(self, w: Tensor) -> FaceParams:
        return FaceParams.from_vector(self.vector(w), self.face_model.sizes, self.face_model.expression_names)

    def rig(self, w: Tensor, params: FaceParams) -> Tensor:
        return self.rig_net(w, params.vector(), self.vector(w))

    def render(self, w: Tensor, output: str, resolution: int | None) -> Tensor:
        self.shown.append(w)
        return torch.zeros(len(w), 8, 8, 3, dtype=torch.uint8)

    def render_params(self, params: FaceParams, size: int) -> Any:
        return render(self.face_model, params, self.camera, 32)

    def submit(self, images: Tensor) -> Callable[[], Measurements]:
        seen = self.seen(self.shown.pop())
        return lambda: seen


@pytest.fixture(scope="module")
def corrected(face_model: FaceModel) -> tuple[World, Tensor, Tensor]:
    """The world after its rig was corrected; and what edits of new people showed before and after."""
    world = World(face_model)
    analyzer = FaceAnalyzer(face_model, detector=SimpleNamespace())  # type: ignore[arg-type]
    before = changes(world)
    corrective = torch.eye(len(MEASURES), K)
    corrective[:2] /= world.angles[:, None]
    measures = torch.eye(K, len(MEASURES))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_correction, "_RIDGE", 100.0)  # a fifth of the people that the default is for
        correct_by_edits_of(world, analyzer, world.people(1), world.std, measures, corrective, pool=world)  # type: ignore[arg-type]
    return world, before, changes(world)


def changes(world: World) -> Tensor:
    """Deviations ``(3, N, M)`` by which measures move when new people turn left, right, or open the mouth."""
    w = world.people(2)
    source = world.params(w)
    turned = [source.with_pose(yaw=source.pose_degrees()[:, 0] + step) for step in (-15.0, 15.0)]
    asked = [*turned, source.with_expression(jawOpen=0.5)]
    pictures = [world.seen(codes).select(MEASURES[:9]) for codes in (w, *(world.rig(w, p) for p in asked))]
    return torch.stack([(p - pictures[0]) / world.std[:9] for p in pictures[1:]]).float()


def test_eyes_stay_open_either_way_of_a_turn(corrected: tuple[World, Tensor, Tensor]) -> None:
    _, before, after = corrected
    eyes = COMPONENT["eye_opening_left"]
    assert float(before[:2, :, eyes].mean()) < -0.5
    assert float(after[:2, :, eyes].mean().abs()) < 0.15


def test_what_depends_on_the_person_is_corrected_for_each(corrected: tuple[World, Tensor, Tensor]) -> None:
    _, before, after = corrected
    mouth = COMPONENT["mouth_opening"]
    assert float(after[:2, :, mouth].abs().mean()) < 0.4 * float(before[:2, :, mouth].abs().mean())


def test_a_unit_stops_turning_the_head(corrected: tuple[World, Tensor, Tensor]) -> None:
    _, before, after = corrected
    pitch = COMPONENT["pitch"]
    assert float(before[2, :, pitch].mean()) > 0.15
    assert float(after[2, :, pitch].mean().abs()) < 0.02


def test_the_turn_itself_still_happens(corrected: tuple[World, Tensor, Tensor]) -> None:
    world, before, after = corrected
    yaw = COMPONENT["yaw"]
    degrees = after[:2, :, yaw].mean(1) * world.std[yaw]
    torch.testing.assert_close(degrees, torch.tensor([-15.0, 15.0]), atol=1.0, rtol=0)
    assert float(before[1, :, yaw].mean()) > 0
