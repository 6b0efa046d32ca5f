"""What a caller may give for a parameter: one number for all faces, or one per face."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Values = float | Sequence[float] | Tensor


def check_finite(name: str, value: object) -> None:
    """Raises ValueError unless ``value`` is None or finite numbers."""
    if value is not None and not _finite(value):
        raise ValueError(f"{name} is {value}, expected finite numbers")


def _finite(value: object) -> bool:
    # Mostly one number or three, which tensors would take a hundred times as long for.
    if isinstance(value, (int, float)):
        return math.isfinite(value)
    if isinstance(value, (list, tuple)):
        return all(map(_finite, value))
    return bool(torch.isfinite(torch.as_tensor(value, dtype=torch.float64)).all())


def all_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite; on a GPU this waits."""
    # x - x is NaN for those, which counts as true, and zero for all others: less than half the time of torch.isfinite.
    return not bool((values - values).any())


def batch_of(batch: int, values: Mapping[str, Values | None]) -> int:
    """The batch that ``values`` make of ``batch`` faces; ValueError when they do not fit each other."""
    sizes = {}
    for name, value in values.items():
        # A number is for all faces; most requests hold nothing else.
        if value is None or isinstance(value, (int, float)):
            continue
        tensor = torch.as_tensor(value)
        if tensor.ndim:
            sizes[name] = size = tensor.numel()
            if size != batch and 1 not in (size, batch):
                raise ValueError(f"{name} has {size} values for a batch of {batch}")
    return max([batch, *sizes.values()])


def values_like(value: Values, like: Tensor) -> Tensor | float:
    """``value`` to assign to a part of ``like``: a number as it is, else a tensor of that dtype and on that device."""
    return value if isinstance(value, (int, float)) else torch.as_tensor(value, dtype=like.dtype, device=like.device)
