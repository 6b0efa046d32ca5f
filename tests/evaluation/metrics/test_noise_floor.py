from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stylerig_fast.evaluation.metrics.noise_floor import noise_floor
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.measurements import Measurements
from tests.measured import STD, measurements


def test_a_perfect_estimator_differs_by_nothing_and_another_by_its_noise():
    codes = torch.eye(128)[:5]
    people = measurements(5, descriptor=codes)
    measured = MeasuredEdits(people, people, (), torch.zeros(5, 3), torch.zeros(0))

    def mirrored(descriptor: torch.Tensor, yaw: float = 0.0, lost: bool = False) -> Measurements:
        first = people.map(lambda values: values[:3])
        pitch = first.pitch.clone()
        pitch[0] = torch.nan if lost else pitch[0]
        turned = {name: -first.value(name) for name in ("yaw", "roll", "light")}
        turned["yaw"] = turned["yaw"] + yaw
        return replace(first, **turned, pitch=pitch, descriptor=descriptor)

    found = noise_floor(measured, mirrored(codes[:3]), STD)
    assert set(found) == {"noise_floor.identity", *(f"noise_floor.{name}" for name in STD.values)}
    assert all(each.value == pytest.approx(0, abs=1e-12) and each.n == 3 for each in found.values())
    found = noise_floor(measured, mirrored(codes[:3] + 0.3 * torch.eye(128)[9], yaw=2.5, lost=True), STD)
    assert found["noise_floor.yaw"].value == pytest.approx(2.5 / STD["yaw"])
    assert found["noise_floor.identity"].value == pytest.approx(0.3)
    assert found["noise_floor.pitch"].n == 2
