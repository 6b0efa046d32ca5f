"""What generators need to compute in less than float32, and in no less than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def without_tf32() -> Iterator[None]:
    """Within it, cuDNN does not round the inputs of float32 convolutions to 10 bits, as torch lets it by default."""
    # Left alone while a compiler traces: the setting is not part of a graph.
    if torch.compiler.is_compiling():
        yield
        return
    settings = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "ieee"
    try:
        yield
    finally:
        settings.fp32_precision = before


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
