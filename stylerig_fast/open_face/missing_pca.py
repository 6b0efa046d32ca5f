"""Principal components of data that are partly missing: EM for a weighted low-rank model.

Each round fills what is missing, in proportion to how little it is trusted, with the current model's
reconstruction, and takes the components of the filled data (Srebro & Jaakkola 2003). The reconstruction shrinks
each component by the share of noise in it (probabilistic PCA), so that holes do not grow structure.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Components(NamedTuple):
    """Mean ``(D,)``, basis ``(K, D)`` per standard deviation of the scores, their standard deviations ``(K,)``."""

    mean: Tensor
    basis: Tensor
    std: Tensor


def missing_pca(
    data: Tensor, weight: Tensor, count: int, prior_mean: Tensor, prior_strength: float = 3.0, rounds: int = 15
) -> Components:
    """Components of ``data``.

    Args:
        data: ``(N, D)``; values of weight 0 may hold anything finite.
        weight: ``(N, D)`` in [0, 1].
        count: components K, below N and D.
        prior_mean: ``(D,)`` the mean where nothing is known.
        prior_strength: how many observations the prior mean counts for.
        rounds: of EM.

    Returns:
        The components, largest first. Scores of unit variance times ``basis`` plus ``mean`` model the data.
    """
    samples, size = data.shape
    if not 0 < count < min(samples, size):
        raise ValueError(f"{count} components asked of data of shape {tuple(data.shape)}")
    total = weight.sum(0) + prior_strength
    mean = ((weight * data).sum(0) + prior_strength * prior_mean) / total
    model = mean.expand_as(data)
    scores, directions = data.new_zeros(samples, count), data.new_zeros(size, count)
    strengths = data.new_ones(count)
    draw = torch.Generator().manual_seed(0)
    sketch = torch.randn(size, min(count + 16, samples, size), generator=draw, dtype=data.dtype)
    for _ in range(rounds):
        filled = torch.lerp(model, data, weight)
        mean = (filled.sum(0) + prior_strength * prior_mean) / (samples + prior_strength)
        centred = filled - mean
        # Subspace iteration from the last round's directions: one or two products with the data a round.
        left = torch.linalg.qr(centred @ sketch).Q
        right = torch.linalg.qr(centred.T @ left).Q
        u, strengths, v = torch.linalg.svd(centred @ right, full_matrices=False)
        sketch = right @ v.T
        u, strengths, directions = u[:, :count], strengths[:count], sketch[:, :count]
        rest = (centred.square().sum() - strengths.square().sum()).clamp_min(0) / (min(samples, size) - count)
        shrink = (1 - rest / strengths.square()).clamp(0, 1)
        scores = u * (strengths * shrink)
        model = mean + scores @ directions.T
    std = strengths / samples**0.5
    basis = directions.T * std[:, None]
    return Components(mean, basis, std)
