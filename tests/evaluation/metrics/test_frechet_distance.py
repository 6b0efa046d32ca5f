from __future__ import annotations

import pytest
import torch

from stylerig_fast.evaluation.metrics.frechet_distance import gaussian_distance


def gaussian(n, shift=0.0, scale=1.0, seed=0):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale + shift


def test_distance_of_gaussians_is_the_closed_form():
    a = gaussian(4000)
    assert gaussian_distance(a, a) == pytest.approx(0, abs=1e-9)
    # Means apart by 2 in each of six dimensions; deviations of 1 and 3: six times (3 - 1)^2.
    assert gaussian_distance(a, a + 2) == pytest.approx(24, abs=1e-6)
    assert gaussian_distance(a, a * 3) == pytest.approx(float(4 * a.mean(0).square().sum()) + 24, rel=0.05)
    assert gaussian_distance(a, gaussian(4000, 2.0, 3.0, seed=1)) == pytest.approx(48, rel=0.05)


def test_rows_without_a_face_are_left_out():
    a = gaussian(500)
    holes = a.clone()
    holes[::5] = torch.nan
    kept = torch.ones(500, dtype=torch.bool)
    kept[::5] = False
    assert gaussian_distance(holes, gaussian(500, seed=2)) == pytest.approx(
        gaussian_distance(a[kept], gaussian(500, seed=2))
    )
