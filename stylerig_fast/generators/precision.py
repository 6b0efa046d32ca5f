"""Products of rounded weights, for generators that compute in less than float32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def multiply(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> Tensor:
    """``function(x, weight)``, computed in the dtype of ``weight``.

    Args:
        function: linear in both: a convolution or a matrix product.
        x: rounded to that dtype if it has more digits.
        weight: in float32, bfloat16 or float16.

    Returns:
        The result, in the dtype of ``weight``.
    """
    x = x.to(weight.dtype)
    if weight.dtype == torch.float16 and weight.device.type == "cpu":
        # For float16 on the CPU torch has loops without vector instructions, a hundred times slower than its float32.
        # The numbers are the same: products of float16 are exact in float32, and sums are kept in that anyway.
        return function(x.float(), weight.float()).to(weight.dtype)
    return function(x, weight)
