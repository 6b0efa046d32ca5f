"""How far a contestant's pictures are from plain torch's in float32, and who is refused for it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Limits of the product: at float32 no value of a picture is further off than this many steps of 1/255, and in lower
# precision every picture has at least this ratio.
LARGEST_ERROR = 2
LOWEST_PSNR = 40.0
# A preview may be an approximation and is then called that; one further than this from the box mean of the whole
# picture is none.
LOWEST_PREVIEW_PSNR = 25.0


@dataclass(frozen=True)
class Parity:
    """The differences between a contestant's pictures and the reference's.

    Attributes:
        max_error: largest difference of a value, in steps of 1/255.
        psnr: dB over all pictures; infinite where they are the same.
        lowest_psnr: dB of the picture that is worst.
        pictures: how many were compared.
    """

    max_error: int
    psnr: float
    lowest_psnr: float
    pictures: int

    def failure(self, precision: str) -> str:
        """Why no speed may be shown for these pictures; empty if it may.

        Args:
            precision: "float32" is held to the largest error, everything else to the ratio.
        """
        if precision == "float32" and self.max_error > LARGEST_ERROR:
            return f"parity failed: max error {self.max_error}/255, allowed {LARGEST_ERROR}/255"
        if precision != "float32" and self.lowest_psnr < LOWEST_PSNR:
            return f"parity failed: PSNR {self.lowest_psnr:.1f} dB, at least {LOWEST_PSNR:.0f} dB wanted"
        return ""


def compare(found: Iterable[Pixels], wanted: Iterable[Pixels]) -> Parity:
    """The parity of pictures ``(H, W, 3)`` or batches of them, one by one.

    Raises:
        ValueError: shapes or dtypes differ, or there is no picture.
    """
    largest, errors = 0, []
    for mine, reference in zip(found, wanted, strict=True):
        if mine.shape != reference.shape or mine.dtype != np.uint8 or reference.dtype != np.uint8:
            raise ValueError(f"{mine.dtype} {mine.shape} cannot be compared with {reference.dtype} {reference.shape}")
        difference = np.abs(mine.astype(np.int16) - reference)
        largest = max(largest, int(difference.max()))
        errors.append(float(np.square(difference, dtype=np.int32).mean()))
    if not errors:
        raise ValueError("no pictures to compare")
    return Parity(largest, psnr(sum(errors) / len(errors)), psnr(max(errors)), len(errors))


def psnr(mean_square: float) -> float:
    """Decibels of a mean squared error in steps of 1/255."""
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def box_mean(picture: Pixels, side: int) -> Pixels:
    """A picture ``(…, H, H, 3)`` at a smaller size: the rounded mean of its boxes, what a preview stands for."""
    *batch, full, _, channels = picture.shape
    boxes = picture.reshape(*batch, side, full // side, side, full // side, channels)
    return np.rint(boxes.mean(axis=(-4, -2))).astype(np.uint8)
