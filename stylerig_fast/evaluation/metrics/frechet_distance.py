"""Fréchet distance of edited pictures to fresh portraits, on a named feature network.

On dlib's 128-d descriptor by default, which is called by that name and is no FID: it was trained to tell people
apart and sees the face alone. With an Inception network as ONNX file it is the usual distance (Heusel et al. 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.measurement.analyzer import Measurements
from stylerig_fast.measurement.edit_runner import Measured
from stylerig_fast.measurement.statistics import CONFIDENCE, Figure

_DRAWS = 50  # of the bootstrap: each needs two matrix square roots


def features(seen: Measurements) -> Tensor:
    """Vectors ``(B, D)`` of the realism network if there is one, else dlib's; NaN where no face was found."""
    return seen.features.get("realism", seen.descriptor)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance of Gaussians fitted to ``(N, D)`` and ``(M, D)`` vectors; rows with NaN are left out."""
    first, second = (x.double()[torch.isfinite(x).all(1)] for x in (a, b))
    shift = (first.mean(0) - second.mean(0)).square().sum()
    c, d = torch.cov(first.T), torch.cov(second.T)
    root = _square_root(c)
    # Of the symmetric product, so that eigenvalues stay real: tr sqrt(C D) = tr sqrt(sqrt(C) D sqrt(C)).
    cross = torch.linalg.eigvalsh(root @ d @ root).clamp_min(0).sqrt().sum()
    return float(shift + c.trace() + d.trace() - 2 * cross)


def realism_figures(measured: Measured, fresh: Tensor, seed: int = 0) -> dict[str, Figure]:
    """Distances of unedited and of edited pictures to fresh ones, and their ratio.

    Each person gives one edited picture, drawn among the edits, so that both sides have as many pictures: the
    distance shrinks with their number.

    Args:
        measured: the edits.
        fresh: ``(M, D)`` `features` of other portraits.
        seed: of the draw of edits and of the resampling.
    """
    before = features(measured.before)
    edited = torch.stack([features(edit.picture) for edit in measured.edits], dim=1)
    draw = torch.Generator().manual_seed(seed)
    people = len(before)

    def distances(rows: Tensor) -> tuple[float, float]:
        chosen = torch.randint(edited.shape[1], (len(rows),), generator=draw)
        return frechet_distance(before[rows], fresh), frechet_distance(edited[rows, chosen], fresh)

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

    def figure(value: float, samples: Tensor) -> Figure:
        centred = samples / samples.mean() * value
        low, high = torch.quantile(centred, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
        return Figure(value, low, high, people)

    return {
        "frechet.unedited": figure(plain, spread[:, 0]),
        "frechet.edited": figure(changed, spread[:, 1]),
        "frechet.edited_over_unedited": figure(changed / plain, ratios),
    }


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
