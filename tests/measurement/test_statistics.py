from __future__ import annotations

import math

import pytest
import torch

from stylerig_fast.measurement.statistics import mean, ratio, share, slope


def test_mean_has_the_interval_of_the_central_limit():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).double() + 3
    figure = mean(values)
    assert figure.n == 400
    assert figure.value == pytest.approx(values.mean().item())
    half = 1.96 * values.std().item() / 20
    assert figure.high - figure.value == pytest.approx(half, rel=0.15)
    assert figure.value - figure.low == pytest.approx(half, rel=0.15)
    assert mean(values) == figure  # seeded


def test_people_are_resampled_not_their_pictures():
    """Ten pictures that say the same of a person are no more than one."""
    values = torch.randn(30, 1, generator=torch.Generator().manual_seed(1)).double()
    assert mean(values.expand(30, 10)).high == pytest.approx(mean(values).high)


def test_slope_s_interval_covers_the_line():
    x = torch.tensor([[-20.0, 20.0]]).expand(40, 2)
    covered = 0
    for seed in range(60):
        noise = 4 * torch.randn(40, 2, generator=torch.Generator().manual_seed(seed))
        figure = slope(x, 0.8 * x + noise)
        covered += figure.low < 0.8 < figure.high
    assert 50 <= covered <= 60  # 95 % of 60 is 57


def test_centred_slope_forgives_each_person_an_offset():
    x = torch.rand(20, 5, generator=torch.Generator().manual_seed(3))
    y = 0.7 * x + torch.arange(20.0)[:, None]
    assert slope(x, y, centred=True).value == pytest.approx(0.7, abs=1e-5)


def test_unknown_values_are_left_out_together():
    x = torch.tensor([[1.0, 2.0, 3.0]]).expand(4, 3).clone()
    y = 2 * x + 1
    y[:, 2] = torch.nan
    assert slope(x, y, centred=True).value == pytest.approx(2.0)
    y[0] = torch.nan
    assert mean(y).n == 3
    assert share(torch.tensor([True, True, False, True])).value == 0.75


def test_nobody_and_one_person():
    nobody = mean(torch.zeros(0))
    assert math.isnan(nobody.value)
    assert nobody.n == 0
    one = mean(torch.tensor([0.3]))
    assert one.low == one.value == one.high
    assert math.isnan(ratio(torch.ones(2), torch.zeros(2)).value)
    with pytest.raises(ValueError, match="denominators"):
        ratio(torch.ones(2), torch.ones(3))
