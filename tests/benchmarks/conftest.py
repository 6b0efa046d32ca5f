"""A trained-looking model folder that is small: what every command of stylerig-bench can be pointed at."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.harness import machine
from benchmarks.harness.peak_rates import PeakRates
from benchmarks.suites import session
from stylerig_fast.face.model_io import open_face_model
from stylerig_fast.generators import MobileStyleGAN, save_generator
from stylerig_fast.reconstructor import FaceReconstructor, ReconstructorConfig
from stylerig_fast.rignet import RigConfig, SubspaceRigNet, build


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained model, 64 px."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    face = open_face_model()
    generator = MobileStyleGAN(channels=(8, 8, 8, 8), mapping_layers=1, name="untrained")
    save_generator(folder / "generator", generator)
    shape = ReconstructorConfig(generator.num_ws, face.sizes, face.expression_names, hidden=16)
    FaceReconstructor(shape).save_pretrained(folder / "reconstructor")
    rig = build(RigConfig(num_ws=generator.num_ws, sizes=face.sizes, components=8, rank=2))
    assert isinstance(rig, SubspaceRigNet)
    with torch.no_grad():
        rig.basis.copy_(torch.linalg.qr(torch.randn(generator.num_ws * 512, 8))[0].T)
        rig.direction.copy_(torch.randn_like(rig.direction))
    rig.save_pretrained(folder / "rig")
    reach = {"angles": {"yaw": [-30, 30], "pitch": [-15, 15], "roll": [-3, 3]}, "expression": {"jawOpen": [0, 0.5]}}
    (folder / "reach.json").write_text(json.dumps(reach))
    return str(folder)


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peak rates without probing; the probes have a test of their own."""
    known = PeakRates({"float32": 1e11, "bfloat16": 2e11}, 2e10)
    monkeypatch.setattr(session, "measure_peak_rates", lambda device, precisions: known)
    monkeypatch.setattr(machine, "_others", lambda pause: 0.0)
