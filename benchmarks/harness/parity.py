"""How far a system's pictures are from plain torch's in float32, and how far they may be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Allowed differences: in float32 this many steps of 1/255 of any value, in lower precision this PSNR of any picture.
LARGEST_ERROR = 2
LOWEST_PSNR = 40.0
# A preview may be an approximation and is then labelled as one, down to this PSNR to the box mean of the full picture.
LOWEST_PREVIEW_PSNR = 25.0


@dataclass(frozen=True)
class Parity:
    """The differences between a system's pictures and the expected ones.

    Attributes:
        max_error: largest difference of a value, in steps of 1/255.
        psnr: dB over all pictures; infinite if they are equal.
        lowest_psnr: dB of the worst picture.
        pictures: number of pictures compared.
    """

    max_error: int
    psnr: float
    lowest_psnr: float
    pictures: int

    def failure(self, precision: str) -> str:
        """Why the speed of this system is not shown; empty if it is.

        Args:
            precision: "float32" is held to `LARGEST_ERROR`, everything else to `LOWEST_PSNR`.
        """
        if precision == "float32" and self.max_error > LARGEST_ERROR:
            return f"parity failed: max error {self.max_error}/255, allowed {LARGEST_ERROR}/255"
        if precision != "float32" and self.lowest_psnr < LOWEST_PSNR:
            return f"parity failed: PSNR {self.lowest_psnr:.1f} dB, at least {LOWEST_PSNR:.0f} dB expected"
        return ""


def compare(pictures: Iterable[Pixels], expected: Iterable[Pixels]) -> Parity:
    """Compares pictures ``(H, W, 3)``, or batches of them, one by one.

    Args:
        pictures: of the system.
        expected: of plain torch in float32, in the same order.

    Raises:
        ValueError: the numbers of pictures, their shapes or dtypes differ, or there is no picture.
    """
    largest, errors = 0, []
    for mine, reference in zip(pictures, expected, strict=True):
        if mine.shape != reference.shape or mine.dtype != np.uint8 or reference.dtype != np.uint8:
            raise ValueError(f"{mine.dtype} {mine.shape} cannot be compared with {reference.dtype} {reference.shape}")
        difference = np.abs(mine.astype(np.int16) - reference)
        largest = max(largest, int(difference.max()))
        errors.append(float(np.square(difference, dtype=np.int32).mean()))
    if not errors:
        raise ValueError("no pictures to compare")
    return Parity(largest, psnr(sum(errors) / len(errors)), psnr(max(errors)), len(errors))


def psnr(mean_square: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error in steps of 1/255."""
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def box_mean(picture: Pixels, side: int) -> Pixels:
    """A picture ``(…, H, H, 3)`` reduced to ``(…, side, side, 3)``: the rounded mean of each box of pixels."""
    *batch, full, _, channels = picture.shape
    boxes = picture.reshape(*batch, side, full // side, side, full // side, channels)
    return np.rint(boxes.mean(axis=(-4, -2))).astype(np.uint8)
