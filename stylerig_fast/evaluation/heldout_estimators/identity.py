"""Who is in the picture: dlib's 128-d face descriptor, independent of everything trained here.

On MobileStyleGAN-FFHQ portraits two different people are 0.72 apart on average (0.51 at the first percentile);
near copies are about 0.1 apart. dlib's own threshold for "the same person" is 0.6.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.measurement.dlib_weights import RECOGNITION, import_dlib, weights_path
from stylerig_fast.measurement.landmarks import PREDICT_SIZE, Images, resize

# dlib's recognition network takes aligned 150 px chips with a quarter of padding.
_CHIP_SIZE = 150
_CHIP_PADDING = 0.25


class IdentityEncoder:
    """Descriptors of faces whose landmarks are known.

    Raises:
        BackendUnavailable: dlib or its weights are not installed.
    """

    def __init__(self) -> None:
        self._dlib = import_dlib()
        self._network = self._dlib.face_recognition_model_v1(str(weights_path(RECOGNITION)))

    def encode(self, images: Images, landmarks: Tensor) -> Tensor:
        """Descriptors; their euclidean distance says how different two faces are.

        Args:
            images: ``(B, H, H, 3)`` uint8 RGB.
            landmarks: ``(B, 68, 2)`` in image widths.

        Returns:
            ``(B, 128)`` float32.

        Raises:
            ValueError: wrong shapes.
        """
        pictures = resize(images, PREDICT_SIZE)
        if tuple(landmarks.shape) != (len(pictures), 68, 2):
            raise ValueError(f"landmarks must be ({len(pictures)}, 68, 2), got {tuple(landmarks.shape)}")
        if not len(pictures):
            return torch.zeros(0, 128)
        pixels = (landmarks.detach().cpu().double() * PREDICT_SIZE).round().long().tolist()
        chips = [self._chip(picture, points) for picture, points in zip(pictures, pixels, strict=True)]
        descriptors = self._network.compute_face_descriptor(chips)
        return torch.from_numpy(np.array([np.asarray(d) for d in descriptors], dtype=np.float32))

    def _chip(self, picture: np.ndarray, points: list[list[int]]) -> np.ndarray:
        dlib = self._dlib
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        shape = dlib.full_object_detection(
            dlib.rectangle(min(xs), min(ys), max(xs), max(ys)), [dlib.point(x, y) for x, y in points]
        )
        return dlib.get_face_chip(picture, shape, size=_CHIP_SIZE, padding=_CHIP_PADDING)


def identity_distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances ``(B,)`` between descriptors ``(B, 128)``."""
    return (a - b).norm(dim=-1)
