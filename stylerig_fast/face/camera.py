"""The pinhole camera: OpenGL axes, focal length in image widths."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# About 13.4 degrees of view: what FFHQ-aligned crops look like they were taken with.
FFHQ_FOCAL = 4.26


@dataclass(frozen=True)
class Camera:
    """A camera at the origin that looks down -z.

    Attributes:
        focal: focal length in image widths.
    """

    focal: float = FFHQ_FOCAL

    def __post_init__(self) -> None:
        if not (math.isfinite(self.focal) and self.focal > 0):
            raise ValueError(f"focal must be a positive number of image widths, got {self.focal}")

    def project(self, points: Tensor) -> Tensor:
        """Projects camera-space points to the picture.

        Args:
            points: ``(..., 3)``, x right, y up, z toward the viewer; visible points have z < 0.

        Returns:
            ``(..., 2)`` in image widths from the top-left corner, x right, y down.
        """
        scale = self.focal / -points[..., 2:]
        # 1 and -1, made where the points are: a tensor made of numbers would be copied to a GPU, and wait.
        signs = torch.arange(1, -2, -2, dtype=points.dtype, device=points.device)
        return points[..., :2] * scale * signs + 0.5
