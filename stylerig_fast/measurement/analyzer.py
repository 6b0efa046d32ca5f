"""Everything that is measured on a picture, or on the rendered face model of a request, in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.expression import FaceMeasures, measure_face
from stylerig_fast.measurement.glasses import measure_glasses
from stylerig_fast.measurement.landmarks import LandmarkDetector
from stylerig_fast.measurement.lighting import as_pictures, fit_light, measure_light
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams
from stylerig_fast.render import Rendered

# What an edit may change or must keep, as measured: the columns of `Measurements.values`.
MEASURED = (
    *("yaw", "pitch", "roll", "mouth_opening", "smile_width", "corner_height", "light", "fitted_light"),
    *("mesh_yaw", "mesh_pitch", "eye_opening", "brow_height"),
    *("light_x", "light_y", "light_z", "tint_red", "tint_blue"),
    *("mesh_mouth_opening", "mesh_smile_width", "mesh_eye_opening", "mesh_brow_height"),
    "glasses",
)
# Standard deviation of each over the held-out portraits: what a drift in one is compared by with an edit of another.
SPREAD = {
    "yaw": 12.5,
    "pitch": 7.0,
    "roll": 1.0,
    "mouth_opening": 0.0565,
    "smile_width": 0.0778,
    "corner_height": 0.0411,
    "light": 0.188,
    "eye_opening": 0.0154,
    "brow_height": 0.0291,
}


@dataclass(frozen=True)
class Measurements:
    """What was seen in a batch of pictures.

    Attributes:
        values: ``(B, 22)`` float64, the columns of `MEASURED`: degrees; outer-eye distances; logarithm of right over
            left cheek; sideways part of the fitted light over its constant part; degrees by `MeshPoseEstimator`; eye
            opening (mean of both) and brow height; direction and tint of the fitted light (`FittedLight`); expressions
            by the mesh's points; contrast of glasses (`measure_glasses`), 0 for rendered models. NaN where no face was
            found, and in the mesh's without that estimator.
        detected: ``(B,)`` bool.
        descriptor: ``(B, 128)`` dlib descriptor; NaN where no face was found; empty ``(B, 0)`` for rendered models, and
            from an analyzer without an encoder.
        landmarks: ``(B, 68, 2)`` in image widths.
        measures: all expression measures.
        luminance: ``(B,)`` of the face.
        features: ``(B, D)`` vectors of the networks that the user brought, by what they are for.
    """

    values: Tensor
    detected: Tensor
    descriptor: Tensor
    landmarks: Tensor
    measures: FaceMeasures
    luminance: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def value(self, name: str) -> Tensor:
        """One column ``(B,)`` of ``values``."""
        return self.values[:, MEASURED.index(name)]

    def descriptor_distance(self, other: Measurements) -> Tensor:
        """Euclidean distances ``(B,)`` of the descriptors: how far apart the people are."""
        return (self.descriptor - other.descriptor).norm(dim=-1)

    @staticmethod
    def cat(parts: Sequence[Measurements]) -> Measurements:
        """Several batches one after the other."""

        def joined(name: str) -> Tensor:
            return torch.cat([getattr(part, name) for part in parts])

        names = [entry.name for entry in fields(FaceMeasures)]
        return Measurements(
            joined("values"),
            joined("detected"),
            joined("descriptor"),
            joined("landmarks"),
            FaceMeasures(*(torch.cat([getattr(part.measures, name) for part in parts]) for name in names)),
            joined("luminance"),
            {name: torch.cat([part.features[name] for part in parts]) for name in parts[0].features},
        )


class DescriptorEncoder(Protocol):
    """Describes the person, given the landmarks."""

    def encode(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Descriptors ``(B, D)`` of uint8 pictures ``(B, H, H, 3)`` and landmarks ``(B, 68, 2)`` in image widths."""
        ...


class NamedEncoder(DescriptorEncoder, Protocol):
    """A further network, and what it is for."""

    @property
    def use(self) -> str: ...


class MeshEstimator(Protocol):
    """A second opinion on pose and landmarks."""

    def fit(self, images: Tensor) -> Any:
        """``degrees (B, 3)``, ``landmarks (B, 68, 2)`` and ``detected (B,)`` of uint8 pictures ``(B, H, H, 3)``."""
        ...


class FaceAnalyzer:
    """Measures everything that estimators have to say of a picture.

    Landmarks, pose, expression, light and glasses are measured always. What training must not read has to be handed
    over: `stylerig_fast.evaluation.analyzers` does.

    Args:
        model: the face model whose shape the pose fit uses.
        camera: the camera it was trained with.
        detector, estimator: other estimators than the default ones.
        encoder: describes the person; nobody is described without.
        mesh: a second opinion on pose; none by default.
        networks: further networks that look at each picture.

    Raises:
        BackendUnavailable: dlib or its weights are not installed.
    """

    def __init__(
        self,
        model: FaceModel,
        camera: Camera | None = None,
        detector: LandmarkDetector | None = None,
        estimator: PoseEstimator | None = None,
        encoder: DescriptorEncoder | None = None,
        mesh: MeshEstimator | None = None,
        networks: Sequence[NamedEncoder] = (),
    ) -> None:
        self.model = model.to("cpu")
        self.camera = camera or Camera()
        self.detector = detector or LandmarkDetector()
        self.estimator = estimator or PoseEstimator(self.model, self.camera)
        self.encoder, self.mesh, self.networks = encoder, mesh, tuple(networks)

    def analyze(self, images: Tensor) -> Measurements:
        """Measures portraits.

        Args:
            images: ``(B, H, H, 3)`` uint8 RGB; 512 px is what dlib gets in the end.
        """
        images = images.cpu()
        found = self.detector.detect(images)
        codes = found.points.new_zeros(len(images), 0)
        if self.encoder is not None:
            codes = self.encoder.encode(images, found.points)
        degrees, points = torch.full((len(images), 3), torch.nan).double(), torch.full_like(found.points, torch.nan)
        if self.mesh is not None:
            mesh = self.mesh.fit(images)
            degrees, points = mesh.degrees, torch.where(mesh.detected[:, None, None], mesh.landmarks, torch.nan)
        seen = self._observe(as_pictures(images), found.points, found.detected, None, (degrees, points), codes)
        return replace(seen, features={n.use: n.encode(images, found.points) for n in self.networks})

    def analyze_rendered(self, rendered: Rendered, params: FaceParams) -> Measurements:
        """Measures the rendered face model of a request; its pose and landmarks are known, not found.

        Args:
            rendered: of ``params``.
            params: complete parameters.
        """
        landmarks = rendered.landmarks.detach().cpu()
        seen = torch.ones(len(landmarks), dtype=torch.bool)
        pictures = rendered.image.detach().cpu().clamp(0, 1)
        degrees = params.pose_degrees().detach().cpu().double()
        nobody = landmarks.new_zeros(len(landmarks), 0)
        return self._observe(pictures, landmarks, seen, degrees, (degrees, landmarks), nobody)

    def _observe(
        self,
        pictures: Tensor,
        landmarks: Tensor,
        detected: Tensor,
        degrees: Tensor | None,
        mesh: tuple[Tensor, Tensor],
        descriptor: Tensor,
    ) -> Measurements:
        pose = self.estimator.fit(landmarks)
        angles = pose.degrees if degrees is None else degrees
        measures = measure_face(landmarks, angles[:, 0])
        light = measure_light(pictures, landmarks)
        fitted = fit_light(pictures, pose, self.model, self.camera)
        mesh_degrees, mesh_landmarks = mesh
        mesh_measures = measure_face(mesh_landmarks, mesh_degrees[:, 0])
        # A face model wears none, and what its smooth nose shows is noise.
        glasses = measure_glasses(pictures, landmarks) if degrees is None else torch.zeros(len(pictures)).double()
        columns = [
            *angles.unbind(1),
            measures.mouth_opening,
            measures.smile_width,
            measures.corner_height,
            light.asymmetry,
            fitted.direction[:, 0],
            *mesh_degrees[:, :2].unbind(1),
            measures.eye_opening,
            measures.brow_height,
            *fitted.direction.unbind(1),
            *fitted.tint.unbind(1),
            mesh_measures.mouth_opening,
            mesh_measures.smile_width,
            mesh_measures.eye_opening,
            mesh_measures.brow_height,
            glasses,
        ]
        values = torch.stack([column.double() for column in columns], dim=1)
        return Measurements(
            values=torch.where(detected[:, None], values, torch.nan),
            detected=detected,
            descriptor=torch.where(detected[:, None], descriptor, torch.nan),
            landmarks=landmarks,
            measures=measures,
            luminance=light.luminance,
        )
