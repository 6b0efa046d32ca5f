"""Fréchet distance of edited pictures to fresh portraits, on a named feature network.

On dlib's 128-d descriptor by default, which is called by that name and is no FID: it was trained to tell people
apart and sees the face alone. With an Inception network as ONNX file it is the usual distance (Heusel et al. 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.evaluation.metrics.registry import Estimates, register_metric
from stylerig_fast.evaluation.metrics.results import Goal
from stylerig_fast.measurement.edit_runner import MeasuredEdits
from stylerig_fast.measurement.measurements import Measurements
from stylerig_fast.measurement.statistics import CONFIDENCE, Estimate

_DRAWS = 50  # of the bootstrap: each needs two matrix square roots


def features(measured: Measurements) -> Tensor:
    """Vectors ``(B, D)`` of the realism network if there is one, else dlib's; NaN where no face was found.

    Raises:
        ValueError: the analyzer had neither.
    """
    found = measured.features.get("realism", measured.descriptor)
    if found is None:
        raise ValueError("no feature vectors were measured; give the analyzer an encoder or a realism network")
    return found


def gaussian_distance(a: Tensor, b: Tensor) -> float:
    """Distance of Gaussians fitted to ``(N, D)`` and ``(M, D)`` vectors; rows with NaN are left out."""
    first, second = (x.double()[torch.isfinite(x).all(1)] for x in (a, b))
    shift = (first.mean(0) - second.mean(0)).square().sum()
    c, d = torch.cov(first.T), torch.cov(second.T)
    root = _square_root(c)
    # Of the symmetric product, so that eigenvalues stay real: tr sqrt(C D) = tr sqrt(sqrt(C) D sqrt(C)).
    cross = torch.linalg.eigvalsh(root @ d @ root).clamp_min(0).sqrt().sum()
    return float(shift + c.trace() + d.trace() - 2 * cross)


@register_metric({"frechet.edited_over_unedited": Goal(high=1.15)})
def frechet_distance(measured: MeasuredEdits, fresh: Tensor, seed: int) -> Estimates:
    """Distances of unedited and of edited pictures to fresh ones, and their ratio.

    Each person gives one edited picture, drawn among the core edits, so that both sides have as many pictures: the
    distance shrinks with their number.
    """
    before = features(measured.before)
    edited = torch.stack([features(result.picture) for result in measured.core], dim=1)
    draw = torch.Generator().manual_seed(seed)
    people = len(before)

    def distances(rows: Tensor) -> tuple[float, float]:
        chosen = torch.randint(edited.shape[1], (len(rows),), generator=draw)
        return gaussian_distance(before[rows], fresh), gaussian_distance(edited[rows, chosen], fresh)

    draws = torch.tensor([distances(torch.randperm(people, generator=draw)) for _ in range(8)])
    plain, changed = draws.mean(0).tolist()
    halves = max(people // 2, 2)
    # Resampling with replacement would count people twice and shrink covariances: half samples instead, whose spread
    # is that of the whole sample.
    spread = torch.tensor(
        [distances(torch.randperm(people, generator=draw)[:halves]) for _ in range(_DRAWS)], dtype=torch.float64
    )
    ratios = spread[:, 1] / spread[:, 0]
    tail = (1 - CONFIDENCE) / 2

    def estimate(value: float, samples: Tensor) -> Estimate:
        centred = samples / samples.mean() * value
        low, high = torch.quantile(centred, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        return Estimate(value, low, high, people)

    return {
        "frechet.unedited": estimate(plain, spread[:, 0]),
        "frechet.edited": estimate(changed, spread[:, 1]),
        "frechet.edited_over_unedited": estimate(changed / plain, ratios),
    }


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
