from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stylerig_fast.face.arguments import all_finite, batch_of, check_finite, values_like


@pytest.mark.parametrize("bad", [math.nan, math.inf, (1.0, -math.inf), [[1, 2], [math.nan, 3]], torch.tensor(math.nan)])
def test_what_is_not_finite_is_named(bad) -> None:
    with pytest.raises(ValueError, match="yaw is .*expected finite numbers"):
        check_finite("yaw", bad)


def test_finite_values_of_all_kinds() -> None:
    for good in (None, 1, 2.5, (1, 0, 1), [[0.5]], np.float32(3), np.zeros(4), torch.ones(2)):
        check_finite("yaw", good)


def test_one_bad_value_among_many() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        values = torch.randn(3, 7)
        assert all_finite(values)
        values[2, 5] = bad
        assert not all_finite(values)
    assert all_finite(torch.zeros(0, 4))
    assert all_finite(torch.tensor([1e-45, 3e38, -3e38]))


def test_batches() -> None:
    assert batch_of(1, {"yaw": 3.0, "pitch": None, "roll": [1.0, 2.0, 3.0]}) == 3
    assert batch_of(2, {"yaw": torch.tensor(3.0), "pitch": torch.ones(1)}) == 2
    with pytest.raises(ValueError, match="roll has 3 values for a batch of 2"):
        batch_of(2, {"roll": [1.0, 2.0, 3.0]})


def test_assigned_values_are_rounded_once() -> None:
    like = torch.zeros(2, 3)
    for value in (0.1, [0.1, 0.2], np.float64(0.1), torch.tensor([0.1, 0.2], dtype=torch.float64)):
        column = torch.zeros(2, 3)
        column[:, 1] = values_like(value, like)
        expected = torch.as_tensor(value, dtype=torch.float32).expand(2)
        assert torch.equal(column[:, 1], expected)
