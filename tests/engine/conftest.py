"""A small Engine: an untrained generator, reconstructor and rig of the right shapes."""

from __future__ import annotations

import pytest
import torch

from stylerig_fast.engine import Engine
from stylerig_fast.engine.reach import Reach
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators import MobileStyleGAN
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.rignet import RigConfig, RigNet, SubspaceRigNet, build


def small_generator() -> MobileStyleGAN:
    torch.manual_seed(0)
    return MobileStyleGAN(channels=(8, 8, 8, 8), w_dim=512, mapping_layers=1, name="untrained")


def small_parts() -> tuple[MobileStyleGAN, RigNet, FaceReconstructor]:
    generator, model = small_generator(), open_face_model()
    reconstructor = FaceReconstructor(
        ReconstructorConfig(generator.num_ws, model.sizes, model.expression_names, hidden=16)
    )
    rig = build(RigConfig(num_ws=generator.num_ws, sizes=model.sizes, components=8, rank=2))
    assert isinstance(rig, SubspaceRigNet)
    with torch.no_grad():
        rig.basis.copy_(torch.linalg.qr(torch.randn(generator.num_ws * 512, 8))[0].T)
        rig.direction.copy_(torch.randn_like(rig.direction))
        rig.product.copy_(torch.randn_like(rig.product))
    return generator, rig, reconstructor


@pytest.fixture
def engine() -> Engine:
    generator, rig, reconstructor = small_parts()
    reach = Reach({"yaw": (-30.0, 30.0), "pitch": (-15.0, 15.0), "roll": (-3.0, 3.0)}, {"jawOpen": (0.0, 0.5)})
    return Engine(generator, rig, reconstructor, reach=reach)
