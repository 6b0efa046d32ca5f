"""The fields of a row that say how close its pictures are to plain torch's, and whether its speed is shown."""

from __future__ import annotations

import math
from typing import Any

from ..harness.parity import LOWEST_PREVIEW_PSNR, Parity


def parity_fields(parity: Parity, precision: str) -> dict[str, Any]:
    """The fields of any row; "refused" is the reason why its speed is not shown, or empty."""
    return {
        "max error": parity.max_error,
        "psnr": _finite(parity.psnr),
        "lowest psnr": _finite(parity.lowest_psnr),
        "pictures": parity.pictures,
        "refused": parity.failure(precision),
    }


def preview_fields(to_full: Parity, row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a preview's row besides `parity_fields`.

    A preview passes if it is what plain torch makes at that size, or the box mean of the full picture; the two differ
    where values were clipped to black or white before the mean was taken. Anything else is called an approximation,
    and refused only if it is further than `LOWEST_PREVIEW_PSNR` from the box mean.

    Args:
        to_full: parity with the box mean of the full picture.
        row: with the fields of its parity with plain torch.
    """
    fields: dict[str, Any] = {"psnr to full": _finite(to_full.psnr), "max error to full": to_full.max_error}
    if row["refused"] and not to_full.failure(row["precision"]):
        fields["refused"] = ""
    elif row["refused"] and to_full.lowest_psnr >= LOWEST_PREVIEW_PSNR:
        fields |= {"refused": "", "approximate": True}
    return fields


def _finite(value: float) -> float | None:
    """JSON has no infinity: None stands for the PSNR of equal pictures."""
    return value if math.isfinite(value) else None
