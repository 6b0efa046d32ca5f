"""What a caller may give for a parameter: one number for all faces, or one per face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Values = float | Sequence[float] | Tensor


def check_finite(name: str, value: object) -> None:
    """Raises ValueError unless ``value`` is None or finite numbers."""
    if value is not None and not bool(torch.isfinite(torch.as_tensor(value, dtype=torch.float64)).all()):
        raise ValueError(f"{name} is {value}, expected finite numbers")


def batch_of(batch: int, values: Mapping[str, Values | None]) -> int:
    """The batch that ``values`` make of ``batch`` faces; ValueError when they do not fit each other."""
    sizes = {
        name: torch.as_tensor(v).numel() for name, v in values.items() if v is not None and torch.as_tensor(v).ndim
    }
    for name, size in sizes.items():
        if size != batch and 1 not in (size, batch):
            raise ValueError(f"{name} has {size} values for a batch of {batch}")
    return max([batch, *sizes.values()])


def values_like(value: Values, like: Tensor) -> Tensor:
    """``value`` as a tensor of the dtype and on the device of ``like``."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
