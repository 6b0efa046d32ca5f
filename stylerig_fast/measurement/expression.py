"""What landmarks say about an expression: openings, widths and heights, each in outer-eye distances.

The same functions take landmarks found in a picture and landmarks projected from a rendered face model, so that
"what changed in the picture" can be divided by "what changed in the request".
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stylerig_fast.face.landmarks import LEFT_BROW, LEFT_EYE, OUTER_EYE_CORNERS, RIGHT_BROW, RIGHT_EYE

# Upper and lower inner lip, upper and lower lid, in iBUG numbers.
_LIPS = ((61, 67), (62, 66), (63, 65))
_RIGHT_LIDS = ((37, 41), (38, 40))
_LEFT_LIDS = ((43, 47), (44, 46))
_MOUTH_CORNERS = (48, 54)
_LIP_MIDDLES = (51, 57)


@dataclass(frozen=True)
class FaceMeasures:
    """Measures of a batch of faces, each ``(B,)`` in outer-eye distances.

    Attributes:
        mouth_opening: gap between the inner lips; near 0 when closed.
        mouth_width: distance between the mouth's corners.
        corner_height: the mouth's corners above the middle of the outer lips; rises in a smile.
        eye_opening_right: gap between the lids of the subject's right eye, in the picture's left half.
        eye_opening_left: of the other eye.
        brow_height: brows above the eyes, mean of both sides.
    """

    mouth_opening: Tensor
    mouth_width: Tensor
    corner_height: Tensor
    eye_opening_right: Tensor
    eye_opening_left: Tensor
    brow_height: Tensor

    @property
    def eye_opening(self) -> Tensor:
        """Mean of both eyes."""
        return (self.eye_opening_right + self.eye_opening_left) / 2

    def stacked(self) -> Tensor:
        """``(B, 6)`` in the order of the fields."""
        return torch.stack([getattr(self, field.name) for field in fields(self)], dim=1)


def measure_face(landmarks: Tensor, yaw: Tensor | None = None) -> FaceMeasures:
    """Measures of faces.

    Heights are taken across the line between the eyes, so that roll does not change them. A turned head brings the
    eyes together in the picture; with ``yaw`` that shortening is undone. The mouth's width is divided by the eye
    distance as it appears, which is shortened like it.

    Args:
        landmarks: ``(B, 68, 2)`` in image widths.
        yaw: ``(B,)`` degrees, from `PoseEstimator` or from the parameters that were rendered.

    Raises:
        ValueError: wrong shapes.
    """
    if landmarks.ndim != 3 or tuple(landmarks.shape[1:]) != (68, 2):
        raise ValueError(f"landmarks must be (B, 68, 2) in image widths, got {tuple(landmarks.shape)}")
    if yaw is not None and tuple(yaw.shape) != (len(landmarks),):
        raise ValueError(f"yaw must be ({len(landmarks)},) degrees, got {tuple(yaw.shape)}")
    a, b = OUTER_EYE_CORNERS
    across = landmarks[:, b] - landmarks[:, a]
    seen = across.norm(dim=-1).clamp_min(1e-6)
    unit = across / seen[:, None]
    down = torch.stack([-unit[:, 1], unit[:, 0]], dim=-1)
    heights = torch.einsum("bpc,bc->bp", landmarks, down)
    eye = seen if yaw is None else seen / torch.cos(torch.deg2rad(yaw.to(seen))).clamp_min(0.3)

    def gap(pairs: tuple[tuple[int, int], ...]) -> Tensor:
        upper, lower = zip(*pairs, strict=True)
        return (heights[:, list(lower)] - heights[:, list(upper)]).mean(1) / eye

    def height(points: tuple[int, ...]) -> Tensor:
        return heights[:, list(points)].mean(1)

    brows = (height(RIGHT_EYE) - height(RIGHT_BROW) + height(LEFT_EYE) - height(LEFT_BROW)) / 2
    right, left = _MOUTH_CORNERS
    return FaceMeasures(
        mouth_opening=gap(_LIPS),
        mouth_width=(landmarks[:, left] - landmarks[:, right]).norm(dim=-1) / seen,
        corner_height=(height(_LIP_MIDDLES) - height(_MOUTH_CORNERS)) / eye,
        eye_opening_right=gap(_RIGHT_LIDS),
        eye_opening_left=gap(_LEFT_LIDS),
        brow_height=brows / eye,
    )
