from __future__ import annotations

import numpy as np
import pytest

from stylerig_fast.errors import CheckpointError
from stylerig_fast.untrusted import Record, check_finite, walk

TREE = {
    "g_ema": Record("x", "", {"noise": np.zeros(3, np.float32), "sizes": [4, 8]}),
    "list": [{"a": np.arange(4)}, None],
    "text": "x",
}


def test_walk_names_every_leaf():
    leaves = dict(walk(TREE))
    assert list(leaves) == ["g_ema.noise", "g_ema.sizes.0", "g_ema.sizes.1", "list.0.a", "list.1", "text"]
    assert leaves["g_ema.sizes.1"] == 8


def test_finite():
    check_finite(TREE, "x.pkl")
    check_finite(np.ones(3), "x.pkl")
    check_finite({"empty": np.zeros((0, 3)), "float": float("inf")}, "x.pkl")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_tensor_is_named(value, dtype):
    noise = np.zeros((2, 3), dtype)
    noise[1, 2] = value
    tree = {"synthesis": Record("x", "Layer", {"noise_strength": noise})}
    with pytest.raises(CheckpointError, match=r"x\.pkl: synthesis\.noise_strength has 1 of 6 values .*allow_nonfinite"):
        check_finite(tree, "x.pkl")
    check_finite(tree, "x.pkl", allow_nonfinite=True)


def test_others_are_counted():
    with pytest.raises(CheckpointError, match="2 other arrays"):
        check_finite([np.array(np.nan), np.array(np.inf), np.full(3, np.nan)], "x.pkl")


def test_a_value_beyond_the_first_piece():
    values = np.zeros((1 << 20) + 5, np.float32)
    values[-1] = np.nan
    with pytest.raises(CheckpointError, match="1 of 1048581"):
        check_finite({"w": values}, "x.pkl")
