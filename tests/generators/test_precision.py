from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from stylerig_fast.generators.precision import multiply, without_tf32


def test_tf32_setting_is_given_back() -> None:
    settings = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = settings.fp32_precision
    with without_tf32():
        assert settings.fp32_precision == "ieee"
    assert settings.fp32_precision == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_products_are_those_of_rounded_factors(dtype: torch.dtype) -> None:
    x, weight = torch.randn(2, 5, 6, 7), torch.randn(4, 5, 3, 3).to(dtype)
    y = multiply(F.conv2d, x, weight)
    assert y.dtype == dtype
    exact = F.conv2d(x.to(dtype).double(), weight.double())
    # Sums in float32, rounded once: half a unit in the last place.
    torch.testing.assert_close(y.double(), exact, rtol=0.51 * torch.finfo(dtype).eps, atol=1e-5)
