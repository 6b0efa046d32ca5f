"""Means, slopes and shares with bootstrap confidence intervals over people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BOOTSTRAP = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    Attributes:
        value: the number.
        low, high: ends of the 95 % bootstrap interval over people; both the value itself with fewer than two people.
        n: people behind it.
    """

    value: float
    low: float
    high: float
    n: int


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Ends of the 95 % interval of resampled values ``(B,)``; NaN without any."""
    if not len(draws):
        return math.nan, math.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def plain_number(value: float) -> float | None:
    """For JSON, which has no NaN and no infinity: None in their place."""
    return value if math.isfinite(value) else None


def ratio(numerators: Tensor, denominators: Tensor, seed: int = 0) -> Estimate:
    """``sum(numerators) / sum(denominators)``, resampled over people.

    Most estimates have this form: a mean has denominators 1, a slope through the origin has ``x * y`` over ``x * x``.

    Args:
        numerators: ``(P,)``, one per person; NaN leaves the person out.
        denominators: ``(P,)``.
        seed: of the resampling.
    """
    top = numerators.detach().double().reshape(-1).cpu().numpy()
    bottom = denominators.detach().double().reshape(-1).cpu().numpy()
    if top.shape != bottom.shape:
        raise ValueError(f"numerators are {top.shape}, denominators {bottom.shape}")
    known = np.isfinite(top) & np.isfinite(bottom)
    top, bottom = top[known], bottom[known]
    n = len(top)
    if n == 0 or bottom.sum() == 0:
        return Estimate(math.nan, math.nan, math.nan, n)
    value = float(top.sum() / bottom.sum())
    if n == 1:
        return Estimate(value, value, value, n)
    rows = np.random.default_rng(seed).integers(0, n, size=(BOOTSTRAP, n))
    sums = bottom[rows].sum(1)
    draws = top[rows].sum(1)[sums != 0] / sums[sums != 0]
    return Estimate(value, *interval(draws), n)


def mean(values: Tensor, seed: int = 0) -> Estimate:
    """Mean of ``(P,)`` or, first over the columns, of ``(P, K)`` values; NaN are left out."""
    per_person = values.double()
    if per_person.ndim > 1:
        per_person = torch.nanmean(per_person.flatten(1), dim=1)
    return ratio(per_person, torch.ones_like(per_person), seed)


def median(values: Tensor, seed: int = 0) -> Estimate:
    """Median over people of ``(P,)`` or, first averaged over the columns, of ``(P, K)`` values; NaN are left out."""
    per_person = values.double()
    if per_person.ndim > 1:
        per_person = torch.nanmean(per_person.flatten(1), dim=1)
    known = per_person[torch.isfinite(per_person)].cpu().numpy()
    n = len(known)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    rows = np.random.default_rng(seed).integers(0, n, size=(BOOTSTRAP, n))
    return Estimate(float(np.median(known)), *interval(np.median(known[rows], axis=1)), n)


def share(conditions: Tensor, seed: int = 0) -> Estimate:
    """Share of True, ``(P,)`` or ``(P, K)``."""
    return mean(conditions.double(), seed)


def slope(x: Tensor, y: Tensor, centred: bool = False, seed: int = 0) -> Estimate:
    """Regression slope of ``y`` on ``x``, resampled over people.

    Args:
        x: ``(P, K)`` the changes that were requested, K edits per person.
        y: ``(P, K)`` the changes that were measured; NaN leaves the edit out.
        centred: each person's own mean is taken off both first; otherwise the line goes through the origin.
        seed: of the resampling.
    """
    x, y = x.double(), y.double()
    known = torch.isfinite(x) & torch.isfinite(y)
    x, y = torch.where(known, x, torch.nan), torch.where(known, y, torch.nan)
    if centred:
        x, y = x - torch.nanmean(x, dim=1, keepdim=True), y - torch.nanmean(y, dim=1, keepdim=True)
    return ratio(torch.nansum(x * y, dim=1), torch.nansum(x * x, dim=1), seed)
