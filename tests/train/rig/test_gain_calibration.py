from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from stylerig_fast.face import FaceModel
from stylerig_fast.measurement.edit_kinds import EDIT_KINDS
from stylerig_fast.measurement.range_sweep import Sweep, SweepStep
from stylerig_fast.measurement.statistics import Estimate
from stylerig_fast.rignet import RigConfig, build
from stylerig_fast.train.rig.gain_calibration import HIGHEST, _apply, measured_shares, unit_shares


def estimate(value: float) -> Estimate:
    return Estimate(value, value, value, 1)


def test_shares_come_from_the_figures() -> None:
    names = ("yaw.gain", "pitch.gain", "jaw.gain", "light.gain", "smile.gain", "smile.corner_height_gain")
    shares = measured_shares(
        {name: estimate(value) for name, value in zip(names, (0.5, 0.8, 0.9, 0.4, 1.0, 0.2), strict=True)}
    )
    assert shares == {"yaw": 0.5, "pitch": 0.8, "jaw": 0.9, "smile": pytest.approx(0.6), "light": 0.4}


def test_units_share_what_their_steps_do() -> None:
    steps = tuple(
        SweepStep(level, estimate(gain), estimate(1.0), estimate(0.1)) for level, gain in ((0.5, 0.6), (1.0, 0.7))
    )
    found = [Sweep(EDIT_KINDS["brows_down"], steps)]
    nothing = Sweep(EDIT_KINDS["pucker"], (replace(steps[0], gain=estimate(math.nan)),))
    assert unit_shares([*found, nothing]) == {"brows_down": pytest.approx(0.65)}


def test_gains_make_up_for_the_shares(face_model: FaceModel) -> None:
    rig = build(RigConfig(num_ws=2, sizes=face_model.sizes, w_dim=4, components=2, rank=1))
    engine = SimpleNamespace(rig_net=rig, face_model=face_model)
    shares = {"yaw": 0.5, "pitch": 1.25, "jaw": 0.78, "smile": 0.5, "light": 0.1, "brows_down": 0.68}
    _apply(engine, shares)  # type: ignore[arg-type]
    gains = dict(zip(rig.columns.tolist(), rig.gain.tolist(), strict=True))
    start = 80 + 80
    jaw = start + face_model.expression_names.index("jawOpen")
    smile = start + face_model.expression_names.index("mouthSmileLeft")
    brow = start + face_model.expression_names.index("browInnerUp")
    light, rotation = start + 64, start + 64 + 27
    # To the nearer end of what is left alone.
    assert gains[rotation] == pytest.approx(1.03 / 1.25)  # pitch
    assert gains[rotation + 1] == pytest.approx(0.97 / 0.5)  # yaw
    assert gains[rotation + 2] == 1.0  # the generator has no roll to measure
    assert gains[jaw] == 1.0  # within what is left alone
    assert gains[smile] == pytest.approx(1.7)
    assert gains[brow] == pytest.approx(1.7**0.5)  # nothing of its own: like the others
    for unit in ("browDownLeft", "browDownRight"):
        assert gains[start + face_model.expression_names.index(unit)] == pytest.approx(0.85 / 0.68)
    assert gains[light] == 1.0  # exposure
    assert gains[light + 5] == HIGHEST
    assert torch.isfinite(rig.gain).all()


def test_a_face_model_without_units_has_no_share_of_them() -> None:
    model = SimpleNamespace(sizes={"identity": 1, "albedo": 1, "expression": 2, "illumination": 27, "rotation": 3})
    model.sizes["translation"], model.expression_names = 3, ("residual_00", "residual_01")
    shares = measured_shares({name: estimate(0.5) for name in ("yaw.gain", "pitch.gain", "light.gain")})
    assert set(shares) == {"yaw", "pitch", "light"}
    rig = build(RigConfig(num_ws=2, sizes=model.sizes, w_dim=4, components=2, rank=1))
    _apply(SimpleNamespace(rig_net=rig, face_model=model), shares)  # type: ignore[arg-type]
    gains = dict(zip(rig.columns.tolist(), rig.gain.tolist(), strict=True))
    assert (gains[2], gains[3]) == (1.0, 1.0)
    assert gains[4 + 27 + 1] == pytest.approx(0.97 / 0.5)  # yaw
