"""What an edit changes beside the face: hair, clothes and background, as a colour difference under a mask."""

from __future__ import annotations

import torch
from torch import Tensor

from stylerig_fast.face.landmarks import JAW, LEFT_BROW, RIGHT_BROW
from stylerig_fast.images import area_resize, to_float
from stylerig_fast.measurement.lighting import inside_polygon

SIZE = 64  # pixels: coarse enough that a strand of hair may move by its own width
# The forehead ends this far above the brows, in distances from brows to chin; and the region is drawn wider by a tenth.
_FOREHEAD, _WIDER = 0.35, 1.1


def small(images: Tensor) -> Tensor:
    """uint8 ``(B, H, W, 3)`` to ``(B, 3, SIZE, SIZE)`` float in [0, 1], box-filtered."""
    return area_resize(to_float(images.permute(0, 3, 1, 2)), SIZE)


def face_region(landmarks: Tensor, size: int = SIZE) -> Tensor:
    """Pixels ``(B, size, size)`` bool of the face: jaw line, and brows raised to the hairline.

    Args:
        landmarks: ``(B, 68, 2)`` in image widths.
        size: pixels.
    """
    points = landmarks.double()
    brows = points[:, [*reversed(LEFT_BROW), *reversed(RIGHT_BROW)]]
    up = brows.mean(1, keepdim=True) - points[:, 8:9]
    outline = torch.cat([points[:, list(JAW)], brows + _FOREHEAD * up], dim=1)
    middle = outline.mean(1, keepdim=True)
    return inside_polygon(middle + _WIDER * (outline - middle), size)


def masked_difference(before: Tensor, after: Tensor, landmarks: Tensor, landmarks_after: Tensor) -> Tensor:
    """Mean absolute RGB difference ``(B,)`` of `small` pictures over what is face in neither of them."""
    mask = ~(face_region(landmarks) | face_region(landmarks_after))
    difference = (after - before).abs().mean(1) * mask
    return difference.sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)


def background_change(before: Tensor, after: Tensor, landmarks: Tensor, landmarks_after: Tensor) -> Tensor:
    """`masked_difference` of uint8 pictures ``(B, H, W, 3)``."""
    return masked_difference(small(before), small(after), landmarks, landmarks_after)
