"""dlib's 68 landmarks of a picture.

Training has them too: its portraits are labelled with them, and gains are calibrated by them.

One dlib prediction moves by about half a percent of the eye distance when the picture is shifted by a few
pixels, because it starts from a box on the detector's coarse grid. Starting again from a box put around the
landmarks themselves, and averaging over five such boxes, brings that to a sixth of a percent (measured on 80
held-out portraits shifted by up to 12 of 512 px: 0.48 % -> 0.16 %). That is the default here; ``boxes=1`` is dlib
as it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stylerig_fast.measurement.dlib_weights import SHAPE_PREDICTOR, import_dlib, weights_path

# Landmarks are predicted on pictures of this width; dlib returns whole pixels.
PREDICT_SIZE = 512
# The detector needs faces of 80 px, and an FFHQ-aligned face is 0.6 of the picture.
DETECT_SIZE = 256
# Where dlib's box lies in an FFHQ-aligned picture: centre x, centre y, side, in image widths.
CENTRAL_BOX = (0.5, 0.59, 0.6)
# Centre (x, y) and side of dlib's box, from the centre of the 51 inner landmarks, in their mean distance from it.
_BOX_FROM_LANDMARKS = (-0.08, 0.02, 3.69)
# Offsets of the averaged boxes, in box sides: the centre first, then a cross of corners.
_JITTER = ((0.0, 0.0), (-0.04, -0.04), (0.04, 0.04), (0.04, -0.04), (-0.04, 0.04))

Images = Tensor | npt.NDArray[np.uint8]
Box = tuple[float, float, float]


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of a batch of pictures.

    Attributes:
        points: ``(B, 68, 2)`` float32, iBUG order, x right and y down in image widths.
        detected: ``(B,)`` bool; False where no face was found and the points start from a fixed central box.
    """

    points: Tensor
    detected: Tensor


class LandmarkDetector:
    """Finds the 68 landmarks with dlib's HOG detector and its ensemble of regression trees.

    Args:
        boxes: predictions averaged per face, 1 to 5. More than one also recentres the box on the face first.

    Raises:
        BackendUnavailable: dlib or its weights are not installed.
    """

    def __init__(self, boxes: int = 5) -> None:
        if not 1 <= boxes <= len(_JITTER):
            raise ValueError(f"boxes must be 1 to {len(_JITTER)}, got {boxes}")
        self.boxes = boxes
        self._dlib = import_dlib()
        self._detect = self._dlib.get_frontal_face_detector()
        self._predict = self._dlib.shape_predictor(str(weights_path(SHAPE_PREDICTOR)))

    def detect(self, images: Images) -> Landmarks:
        """Landmarks of each picture's most central face.

        Coordinates follow dlib and the stored portrait sets: the index of a pixel stands for the pixel, so a point
        lies half a pixel of the 512 px picture (0.1 % of the width) up and left of what half-integer centres say.

        Args:
            images: ``(B, H, W, 3)`` uint8 RGB, square; other sizes than 512 px are resampled to it.

        Raises:
            ValueError: wrong shape or dtype.
        """
        pictures = resize(images, PREDICT_SIZE)
        small = resize(images, DETECT_SIZE)
        points = np.zeros((len(pictures), 68, 2), dtype=np.float32)
        detected = np.zeros(len(pictures), dtype=bool)
        for i, (picture, thumb) in enumerate(zip(pictures, small, strict=True)):
            box = self._box(thumb)
            detected[i] = box is not None
            points[i] = self._landmarks(picture, box or CENTRAL_BOX) / PREDICT_SIZE
        return Landmarks(torch.from_numpy(points), torch.from_numpy(detected))

    def _box(self, thumb: npt.NDArray[np.uint8]) -> Box | None:
        """The detector's box nearest to the middle, in image widths; None without a face."""
        for upsample in (0, 1):
            found = self._detect(thumb, upsample)
            if len(found):
                boxes = [_to_box(r, thumb.shape[1]) for r in found]
                return min(boxes, key=lambda b: sum(abs(x - y) for x, y in zip(b, CENTRAL_BOX, strict=True)))
        return None

    def _landmarks(self, picture: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.float64]:
        x, y, side = (v * picture.shape[1] for v in box)
        points = self._one(picture, x, y, side)
        if self.boxes == 1:
            return points
        inner = points[17:]
        centre = inner.mean(axis=0)
        spread = float(np.linalg.norm(inner - centre, axis=-1).mean())
        x, y = centre + np.array(_BOX_FROM_LANDMARKS[:2]) * spread
        side = _BOX_FROM_LANDMARKS[2] * spread
        runs = [self._one(picture, x + dx * side, y + dy * side, side) for dx, dy in _JITTER[: self.boxes]]
        return np.mean(runs, axis=0)

    def _one(self, picture: npt.NDArray[np.uint8], x: float, y: float, side: float) -> npt.NDArray[np.float64]:
        half = side / 2
        rectangle = self._dlib.rectangle(round(x - half), round(y - half), round(x + half), round(y + half))
        shape = self._predict(picture, rectangle)
        return np.array([(p.x, p.y) for p in shape.parts()], dtype=np.float64)


def _to_box(rectangle: Any, width: int) -> Box:
    centre = rectangle.center()
    return centre.x / width, centre.y / width, rectangle.width() / width


def resize(images: Images, size: int) -> npt.NDArray[np.uint8]:
    """Square pictures at ``size`` px, antialiased.

    Args:
        images: ``(B, H, W, 3)`` uint8, H = W.
        size: pixels.

    Returns:
        ``(B, size, size, 3)`` uint8, contiguous.

    Raises:
        ValueError: wrong shape or dtype.
    """
    tensor = torch.as_tensor(images)
    if tensor.dtype != torch.uint8 or tensor.ndim != 4 or tensor.shape[1] != tensor.shape[2] or tensor.shape[3] != 3:
        raise ValueError(
            f"images must be square uint8 (B, H, H, 3), got {str(tensor.dtype).removeprefix('torch.')} "
            f"{tuple(tensor.shape)}"
        )
    if tensor.shape[1] != size and len(tensor):
        planes = tensor.cpu().permute(0, 3, 1, 2).float()
        mode = "area" if tensor.shape[1] % size == 0 else "bicubic"
        options: dict[str, Any] = {} if mode == "area" else {"antialias": True, "align_corners": False}
        planes = torch.nn.functional.interpolate(planes, size=(size, size), mode=mode, **options)
        tensor = planes.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    elif not len(tensor):
        tensor = tensor.new_zeros(0, size, size, 3)
    return np.ascontiguousarray(tensor.cpu().numpy())
