"""The errors that F reconstructs of each person's edits are corrected, as far as they are linear in the code."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from stylerig_fast.data.portraits import PortraitSet
from stylerig_fast.face import FaceModel
from stylerig_fast.param_layout import BLOCKS
from stylerig_fast.params import FaceParams
from stylerig_fast.rignet import RigConfig, SubspaceRigNet
from stylerig_fast.train.rig.person_correction import correct_with_reconstructor

K = 12
COUNT = 600


class PersonalF:
    """Sees a yaw that follows the first component of the code, more in some people than in others."""

    def __init__(self, model: FaceModel, basis: Tensor) -> None:
        self.sizes, self.basis = model.sizes, basis
        self.start = sum(model.sizes[name] for name in BLOCKS[: BLOCKS.index("rotation")])

    def vector(self, w: Tensor) -> Tensor:
        y = w.flatten(1) @ self.basis.T
        vector = torch.zeros(len(w), sum(self.sizes.values()))
        vector[:, self.start + 1] = 0.1 * y[:, 0] * (0.9 + 0.25 * y[:, 1] - 0.2 * y[:, 2])
        # Pitch is disturbed by what turns the head, by another share in each.
        vector[:, self.start] = 0.1 * y[:, 3] + 0.02 * y[:, 0] * y[:, 4]
        return vector


@pytest.fixture(scope="module")
def setting(face_model: FaceModel) -> tuple[SubspaceRigNet, PersonalF, Any, Tensor]:
    draw = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(2 * 512, K, generator=draw))[0].T.contiguous()
    rig = SubspaceRigNet(RigConfig(2, face_model.sizes, controls=("pose",), components=K, rank=12))
    rig.requires_grad_(False)
    rig.basis.copy_(basis)
    # A radian of yaw is ten deviations of the first component, one of pitch ten of the fourth.
    rig.direction[1, 0] = 10.0
    rig.direction[0, 3] = 10.0
    codes = (torch.randn(COUNT, K, generator=draw) @ basis).unflatten(1, (2, 512))
    seen = PersonalF(face_model, basis)

    class Portraits(SimpleNamespace):
        def __len__(self) -> int:
            return COUNT

        def ws(self, rows: Tensor) -> Tensor:
            return codes[rows]

    return rig, seen, Portraits(), seen.vector(codes)


def errors(rig: SubspaceRigNet, seen: PersonalF, model: FaceModel, amount: float) -> Tensor:
    """Degrees by which F's yaw and pitch miss a request of yaw, ``(N, 2)``, on new people."""
    w = (torch.randn(400, K, generator=torch.Generator().manual_seed(9)) @ seen.basis).unflatten(1, (2, 512))
    source = seen.vector(w)
    asked = FaceParams.from_vector(source, model.sizes, model.expression_names)
    asked = asked.with_pose(yaw=asked.pose_degrees()[:, 0] + amount)
    found = FaceParams.from_vector(seen.vector(rig(w, asked.vector(), source)), model.sizes, model.expression_names)
    return (found.pose_degrees() - asked.pose_degrees())[:, :2]


def test_edits_are_corrected_for_each_person(
    setting: tuple[SubspaceRigNet, PersonalF, Any, Tensor], face_model: FaceModel
) -> None:
    rig, seen, portraits, source = setting
    before = errors(rig, seen, face_model, 15.0).abs().mean(0)
    stats = SimpleNamespace(reconstructor=seen, portraits=portraits, source=source, model=face_model)
    correct_with_reconstructor(rig, stats, people=COUNT)  # type: ignore[arg-type]
    after = errors(rig, seen, face_model, 15.0).abs().mean(0)
    assert before[0] > 3 and before[1] > 1.5
    assert after[0] < 0.6 * before[0]
    assert after[1] < 0.6 * before[1]
    asked_nothing = errors(rig, seen, face_model, 0.0)
    assert float(asked_nothing.abs().max()) < 1e-3


def test_the_same_seed_gives_the_same_rig(world: Path, face_model: FaceModel) -> None:
    portraits = PortraitSet.load(world, size=16)
    basis = torch.linalg.qr(torch.randn(4 * 512, 8, generator=torch.Generator().manual_seed(1)))[0].T.contiguous()
    seen = PersonalF(face_model, basis)
    rigs = []
    for _ in range(2):
        rig = SubspaceRigNet(RigConfig(4, face_model.sizes, components=8, rank=7)).requires_grad_(False)
        rig.basis.copy_(basis)
        rig.direction.copy_(torch.ones_like(rig.direction) * math.pi / 100)
        source = seen.vector(portraits.ws())
        stats = SimpleNamespace(reconstructor=seen, portraits=portraits, source=source, model=face_model)
        correct_with_reconstructor(rig, stats, people=60, seed=3)  # type: ignore[arg-type]
        rigs.append(rig)
    for name, value in rigs[0].state_dict().items():
        # Components without any size may be turned freely inside the product; what they make is what counts.
        if name not in ("delta_factor", "code_factor", "source_factor"):
            assert torch.equal(value, rigs[1].state_dict()[name])
    w, source = portraits.ws(), seen.vector(portraits.ws())
    torch.testing.assert_close(rigs[0](w, source + 0.1, source), rigs[1](w, source + 0.1, source))
