from __future__ import annotations

import pytest
import torch

from stylerig_fast.open_face.missing_pca import missing_pca


def low_rank(noise: float = 0.01) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    basis = torch.randn(3, 60, generator=draw) * torch.tensor([2.0, 1.0, 0.5])[:, None]
    scores = torch.randn(500, 3, generator=draw)
    data = 5 + scores @ basis + noise * torch.randn(500, 60, generator=draw)
    return data, basis


def share_explained(found: torch.Tensor, true: torch.Tensor) -> float:
    """Of the true basis' variance, what lies in the span of the found one."""
    inside = torch.linalg.qr(found.T).Q
    return float((true @ inside).square().sum() / true.square().sum())


def test_complete_data():
    data, basis = low_rank()
    parts = missing_pca(data, torch.ones_like(data), 3, torch.zeros(60), prior_strength=0.0)
    assert torch.allclose(parts.mean, data.mean(0), atol=1e-3)
    assert share_explained(parts.basis, basis) > 0.999
    # Scores of unit variance: the basis carries the covariance.
    assert torch.allclose(parts.basis.T @ parts.basis, torch.cov(data.T, correction=0), atol=0.02)
    assert bool((parts.std.diff() < 0).all())


def test_forty_percent_missing():
    data, basis = low_rank()
    weight = (torch.rand(data.shape, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    broken = torch.where(weight > 0, data, torch.full_like(data, 1e4))
    parts = missing_pca(broken, weight, 3, torch.full((60,), 5.0), rounds=30)
    assert share_explained(parts.basis, basis) > 0.99
    assert float((parts.mean - data.mean(0)).abs().max()) < 0.2
    assert float(parts.basis.norm()) == pytest.approx(float(basis.norm()), rel=0.15)


def test_what_nobody_shows_keeps_the_prior_mean():
    data, _ = low_rank()
    weight = torch.ones_like(data)
    weight[:, 7] = 0
    parts = missing_pca(data, weight, 3, torch.full((60,), 2.0))
    assert float(parts.mean[7]) == pytest.approx(2.0, abs=1e-3)
    assert float(parts.basis[:, 7].abs().max()) < 1e-3


def test_more_components_than_data_can_hold():
    with pytest.raises(ValueError, match=r"10 components asked of data of shape \(8, 60\)"):
        missing_pca(torch.zeros(8, 60), torch.ones(8, 60), 10, torch.zeros(60))
