"""Statistics of latencies: percentiles, jitter, and bootstrap intervals.

Measurements come in rounds: lists of consecutive frames, between which the other systems had their turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rounds = Sequence[Sequence[float]]
PERCENTILES = (50, 90, 95, 99)
DRAWS = 1000


@dataclass(frozen=True)
class LatencyStats:
    """The statistics of one row's times, in milliseconds.

    Attributes:
        median: the median over rounds of each round's median: a disturbed round moves it little.
        low, high: 95 % bootstrap interval of ``median``.
        percentiles: "p50" and so on, over all samples; None where there are too few samples (see `percentile`).
        max: the slowest frame.
        jitter: see `jitter`; None where no round has two frames.
        fps: frames per second, one after the other: the inverse of the mean.
        samples: number of frames.
        rounds: number of rounds.
    """

    median: float
    low: float
    high: float
    percentiles: dict[str, float | None]
    max: float
    jitter: float | None
    fps: float
    samples: int
    rounds: int


def latency_stats(rounds: Rounds, seed: int = 0) -> LatencyStats:
    """Computes the statistics of one row.

    Args:
        rounds: milliseconds, one list for each round; empty rounds are left out.
        seed: of the bootstrap.

    Raises:
        ValueError: there is no measurement.
    """
    rounds = [list(values) for values in rounds if len(values)]
    if not rounds:
        raise ValueError("no measurements")
    everything = [value for values in rounds for value in values]
    low, high = interval(bootstrap(rounds, seed))
    return LatencyStats(
        median=median_of_rounds(rounds),
        low=low,
        high=high,
        percentiles={f"p{q}": percentile(everything, q) for q in PERCENTILES},
        max=max(everything),
        jitter=jitter(rounds),
        fps=1e3 * len(everything) / sum(everything),
        samples=len(everything),
        rounds=len(rounds),
    )


def percentile(values: Sequence[float], q: float) -> float | None:
    """The ``q``-th percentile, interpolated; None if there are fewer than ``100 / (100 - q)`` values.

    With fewer, not one measurement lies beyond it: it would be the maximum under another name.
    """
    if len(values) < math.ceil(100 / (100 - q)):
        return None
    return float(np.percentile(values, q))


def median_of_rounds(rounds: Rounds) -> float:
    """Median over the medians of the rounds."""
    return float(np.median([np.median(values) for values in rounds]))


def jitter(rounds: Rounds) -> float | None:
    """The mean absolute difference of successive frames' times within rounds, visible as stutter."""
    steps = [np.abs(np.diff(values)) for values in rounds]
    return float(np.concatenate(steps).mean()) if any(len(step) for step in steps) else None


def bootstrap(rounds: Rounds, seed: int = 0, draws: int = DRAWS) -> NDArray[np.float64]:
    """Bootstrap draws ``(draws,)`` of the median over rounds of each round's median.

    Rounds are resampled first, then the frames of each chosen round: frames of one round share what the machine was
    doing then, and treating them as independent would make the interval far too narrow.

    Args:
        rounds: milliseconds, one list for each round.
        seed: of the draws.
        draws: number of draws.
    """
    draw = np.random.default_rng(seed)
    values = [np.asarray(each, dtype=np.float64) for each in rounds]
    chosen = draw.integers(len(values), size=(draws, len(values)))
    medians = np.empty(chosen.shape)
    for which, each in enumerate(values):
        hits = np.nonzero(chosen == which)
        picks = draw.integers(len(each), size=(len(hits[0]), len(each)))
        medians[hits] = np.median(each[picks], axis=1)
    return np.median(medians, axis=1)


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles."""
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)
