"""Percentiles, jitter and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness.latency_stats import bootstrap, interval, jitter, latency_stats, median_of_rounds, percentile


def test_percentiles_need_a_measurement_beyond_them():
    assert percentile(list(range(101)), 99) == 99
    assert percentile(list(range(101)), 90) == 90
    assert percentile([1.0] * 99, 99) is None
    assert percentile([1.0] * 100, 99) == 1.0
    assert percentile([1.0] * 19, 95) is None
    assert percentile([1.0] * 20, 95) == 1.0
    assert percentile([3.0], 50) is None
    assert percentile([3.0, 5.0], 50) == 4.0


def test_jitter_is_the_mean_step_within_rounds():
    assert jitter([[1.0, 3.0, 2.0]]) == pytest.approx(1.5)
    # The step from one round to the next is none: others had their turn between.
    assert jitter([[1.0, 1.0], [100.0, 100.0]]) == 0.0
    assert jitter([[1.0], [2.0]]) is None


def test_a_disturbed_round_moves_the_median_little():
    assert median_of_rounds([[1, 1, 9], [1, 1, 1], [50, 50, 50]]) == 1


def test_figures_of_a_row():
    found = latency_stats([[10.0, 20.0], [], [30.0, 40.0]])
    assert found.median == 25.0
    assert found.low <= 25.0 <= found.high
    assert found.fps == pytest.approx(1e3 / 25)
    assert (found.max, found.samples, found.rounds) == (40.0, 4, 2)
    assert found.percentiles == {"p50": 25.0, "p90": None, "p95": None, "p99": None}
    assert found == latency_stats([[10.0, 20.0], [30.0, 40.0]])
    with pytest.raises(ValueError, match="no measurements"):
        latency_stats([[]])


def test_the_interval_is_that_of_rounds_and_not_of_frames():
    """Many equal frames of three different rounds: three facts, not three hundred."""
    low, high = interval(bootstrap([[1.0] * 100, [2.0] * 100, [3.0] * 100]))
    assert (low, high) == (1.0, 3.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(0)
    hits = 0
    for trial in range(60):
        rounds = [list(10 + level + draw.normal(size=8)) for level in draw.normal(size=10)]
        low, high = interval(bootstrap(rounds, trial, draws=200))
        hits += low <= 10 <= high
    assert 50 <= hits <= 60


def test_rounds_of_different_lengths():
    draws = bootstrap([[1.0], [1.0, 2.0, 3.0]], draws=50)
    assert draws.shape == (50,)
    assert draws.min() >= 1 and draws.max() <= 3
