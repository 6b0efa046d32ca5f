"""A second opinion on pose and expression: MediaPipe's face mesh, which shares nothing with dlib or our face models.

The network gives 468 points in 3D, so the pose is read from them directly: the sideways axis from pairs of points
that mirror each other, the upward axis from temples and jaw. On 300 held-out portraits it scatters
around `PoseEstimator` by 2.0 degrees of yaw (correlation 0.986) and 3.3 of pitch (0.90), with slopes of 0.92 and
0.95; on renders of the open face model its slopes against the true pose are 1.01 and 0.91.

Optional: ``pip install ai-edge-litert`` runs the network, whose weights are in the wheel of
``pip install --no-deps mediapipe==0.10.21`` (Apache-2.0); that package is never imported.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stylerig_fast.errors import BackendUnavailable
from stylerig_fast.face.landmarks import JAW
from stylerig_fast.face.rotation import matrix_to_degrees
from stylerig_fast.images import to_float
from stylerig_fast.measurement.landmarks import PREDICT_SIZE, Images, resize

INSTALL = "pip install ai-edge-litert && pip install --no-deps mediapipe==0.10.21"

_INPUT = 192
# Where a face is in an FFHQ-aligned picture, in image widths: centre x, centre y, side.
_FIRST_BOX = (0.5, 0.55, 0.8)
# The network wants the box around its own points, half as large again.
_MARGIN = 1.5
_LOOKS = 3
# Mesh points (subject's right, subject's left) that mirror each other: eyes, mouth, nostrils, brows, outline.
_PAIRS = (
    *((33, 263), (133, 362), (61, 291), (48, 278), (70, 300), (105, 334), (107, 336), (234, 454)),
    *((127, 356), (93, 323), (58, 288), (172, 397), (54, 284), (21, 251), (162, 389), (132, 361)),
)
# Temple above jaw corner, right and left.
_UPWARD = ((127, 172), (356, 397))
# Pitch of a head that looks straight at the camera, by these points, on renders of the open face model.
_PITCH_ZERO = 9.2
# The mesh's points at the inner landmarks in iBUG numbers: brows, nose, eyes, lips.
_INNER = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)
# Logit of "there is a face" above which the points are trusted.
_LEAST_SCORE = 5.0


@dataclass(frozen=True)
class MeshPose:
    """Poses of a batch of pictures.

    Attributes:
        degrees: ``(B, 3)`` float64 yaw, pitch, roll; NaN where no face was seen.
        detected: ``(B,)`` bool.
        points: ``(B, 468, 3)`` float32 in image widths: x right, y down, z away from the camera.
    """

    degrees: Tensor
    detected: Tensor
    points: Tensor

    @property
    def landmarks(self) -> Tensor:
        """``(B, 68, 2)`` in image widths, in iBUG numbers; the jaw line is not read off the mesh and is NaN."""
        inner = self.points[:, list(_INNER), :2]
        return torch.cat([inner.new_full((len(inner), len(JAW), 2), torch.nan), inner], dim=1)


class MeshPoseEstimator:
    """Runs MediaPipe's face-landmark network on FFHQ-aligned pictures.

    Raises:
        BackendUnavailable: the runtime or the wheel with the weights is not installed.
    """

    def __init__(self) -> None:
        try:
            runtime = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as error:
            raise BackendUnavailable(f"ai-edge-litert could not be imported ({error}): {INSTALL}") from error
        self._network = runtime.Interpreter(str(_weights()), num_threads=1)
        self._network.allocate_tensors()
        self._input = self._network.get_input_details()[0]["index"]
        self._points, self._score = (detail["index"] for detail in self._network.get_output_details())

    def fit(self, images: Images) -> MeshPose:
        """Poses of pictures.

        Args:
            images: ``(B, H, H, 3)`` uint8 RGB.
        """
        looks = [self._look(picture) for picture in resize(images, PREDICT_SIZE)]
        points = torch.tensor(np.array([look[0] for look in looks], dtype=np.float32).reshape(-1, 468, 3))
        detected = torch.tensor([look[1] > _LEAST_SCORE for look in looks], dtype=torch.bool)
        degrees = torch.where(detected[:, None], _degrees(points.double()), torch.nan)
        return MeshPose(degrees, detected, points)

    def _look(self, picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """Points in image widths, and the logit of a face; each look's box is put around the last one's points."""
        image = to_float(torch.from_numpy(picture).permute(2, 0, 1)[None])
        x, y, side = _FIRST_BOX
        points = np.zeros((468, 3), dtype=np.float32)
        for _ in range(_LOOKS):
            unit = (torch.arange(_INPUT) + 0.5) / _INPUT - 0.5
            across, down = (x + unit * side) * 2 - 1, (y + unit * side) * 2 - 1
            grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None]
            crop = torch.nn.functional.grid_sample(image, grid, align_corners=False)
            self._network.set_tensor(self._input, np.ascontiguousarray(crop.permute(0, 2, 3, 1).numpy()))
            self._network.invoke()
            points = self._network.get_tensor(self._points).reshape(468, 3) * (side / _INPUT)
            points[:, :2] += (x - side / 2, y - side / 2)
            low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
            (x, y), side = ((low + high) / 2).tolist(), _MARGIN * float((high - low).max())
        return points, float(self._network.get_tensor(self._score).item())


def _weights() -> Path:
    spec: Any = importlib.util.find_spec("mediapipe")
    if spec is None or not spec.submodule_search_locations:
        raise BackendUnavailable(f"the wheel with MediaPipe's weights is not installed: {INSTALL}")
    path = Path(next(iter(spec.submodule_search_locations))) / "modules" / "face_landmark" / "face_landmark.tflite"
    if not path.is_file():
        raise BackendUnavailable(f"{path} is missing; the weights are in mediapipe 0.10.21: {INSTALL}")
    return path


def _degrees(points: Tensor) -> Tensor:
    """Yaw, pitch, roll ``(B, 3)`` from mesh points ``(B, 468, 3)``."""
    upright = points * points.new_tensor([1.0, -1.0, -1.0])
    right, left = zip(*_PAIRS, strict=True)
    top, bottom = zip(*_UPWARD, strict=True)
    x = torch.nn.functional.normalize((upright[:, list(left)] - upright[:, list(right)]).mean(1), dim=-1)
    y = (upright[:, list(top)] - upright[:, list(bottom)]).mean(1)
    y = torch.nn.functional.normalize(y - (y * x).sum(-1, keepdim=True) * x, dim=-1)
    degrees = matrix_to_degrees(torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1))
    return degrees - degrees.new_tensor([0.0, _PITCH_ZERO, 0.0])
