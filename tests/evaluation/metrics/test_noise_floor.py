from __future__ import annotations

import pytest
import torch

from stylerig_fast.evaluation.metrics.noise_floor import mirror_figures
from stylerig_fast.measurement.analyzer import MEASURED, SPREAD, Measurements
from stylerig_fast.measurement.expression import FaceMeasures


def seen(values: torch.Tensor, descriptor: torch.Tensor) -> Measurements:
    n = len(values)
    nothing = FaceMeasures(*(torch.zeros(n) for _ in range(6)))
    found = torch.ones(n, dtype=torch.bool)
    return Measurements(values, found, descriptor, torch.zeros(n, 68, 2), nothing, torch.ones(n))


def test_a_perfect_estimator_differs_by_nothing_and_another_by_its_noise():
    values = torch.randn(5, len(MEASURED), generator=torch.Generator().manual_seed(0)).double()
    codes = torch.eye(128)[:5]
    turned = values[:3].clone()
    for name in ("yaw", "roll", "light"):
        turned[:, MEASURED.index(name)] *= -1
    figures = mirror_figures(seen(values, codes), seen(turned, codes[:3]))
    assert all(figure.value == pytest.approx(0, abs=1e-12) and figure.n == 3 for figure in figures.values())
    turned[:, MEASURED.index("yaw")] += 2.5
    turned[0, MEASURED.index("pitch")] = torch.nan
    figures = mirror_figures(seen(values, codes), seen(turned, codes[:3] + 0.3 * torch.eye(128)[9]))
    assert figures["mirror.yaw"].value == pytest.approx(2.5 / SPREAD["yaw"])
    assert figures["mirror.identity"].value == pytest.approx(0.3)
    assert figures["mirror.pitch"].n == 2
