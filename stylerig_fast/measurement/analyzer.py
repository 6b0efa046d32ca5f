"""Measures pictures, or rendered face models, with every estimator at hand, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from stylerig_fast.face import Camera, FaceModel
from stylerig_fast.measurement.expression import FaceMeasures, measure_face
from stylerig_fast.measurement.glasses import measure_glasses
from stylerig_fast.measurement.landmarks import LandmarkDetector
from stylerig_fast.measurement.lighting import FittedLight, as_pictures, fit_light, measure_light
from stylerig_fast.measurement.measurements import Measurements, MeshMeasures
from stylerig_fast.measurement.pose import PoseEstimator
from stylerig_fast.params import FaceParams
from stylerig_fast.render import Rendered


class DescriptorEncoder(Protocol):
    """Describes the person, given the landmarks."""

    def encode(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Descriptors ``(B, D)`` of uint8 pictures ``(B, H, H, 3)`` and landmarks ``(B, 68, 2)`` in image widths."""
        ...


class NamedEncoder(DescriptorEncoder, Protocol):
    """A further network, and what it is used for."""

    @property
    def use(self) -> str: ...


class MeshEstimator(Protocol):
    """A second estimator of pose and landmarks."""

    def fit(self, images: Tensor) -> Any:
        """``degrees (B, 3)``, ``landmarks (B, 68, 2)`` and ``detected (B,)`` of uint8 pictures ``(B, H, H, 3)``."""
        ...


class FaceAnalyzer:
    """Measures faces.

    Landmarks, pose, expression, cheek light and glasses are always measured. Estimators that training must not read
    are passed in; `stylerig_fast.evaluation.analyzers` does that. What is not passed in costs nothing.

    Args:
        model: the face model whose shape the pose fit uses.
        camera: the camera it was trained with.
        detector: of the landmarks; dlib by default.
        estimator: of the pose; a fit of ``model`` by default.
        encoder: describes the person.
        mesh: a second estimator of pose and expression.
        networks: further networks, run on each picture.
        light_fit: also fit the light's direction and tint to the face's normals.

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
        light_fit: bool = False,
    ) -> None:
        self.model = model.to("cpu")
        self.camera = camera or Camera()
        self.detector = detector or LandmarkDetector()
        self.estimator = estimator or PoseEstimator(self.model, self.camera)
        self.encoder, self.mesh, self.networks, self.light_fit = encoder, mesh, tuple(networks), light_fit

    def analyze(self, images: Tensor) -> Measurements:
        """Measures portraits.

        Args:
            images: ``(B, H, H, 3)`` uint8 RGB; dlib gets them at 512 px.
        """
        images = images.cpu()
        found = self.detector.detect(images)
        pictures, pose = as_pictures(images), self.estimator.fit(found.points)
        measured = _measured(
            pictures, found.points, found.detected, pose.degrees, measure_glasses(pictures, found.points)
        )
        if self.light_fit:
            light = fit_light(pictures, pose, self.model, self.camera)
            measured = replace(measured, fitted_light=_masked_light(light, found.detected))
        if self.mesh is not None:
            mesh = self.mesh.fit(images)
            by_mesh = _by_mesh(mesh.landmarks, mesh.degrees, found.detected & mesh.detected)
            measured = replace(measured, by_mesh=by_mesh)
        if self.encoder is not None:
            descriptor = self.encoder.encode(images, found.points)
            measured = replace(measured, descriptor=torch.where(found.detected[:, None], descriptor, torch.nan))
        return replace(measured, features={n.use: n.encode(images, found.points) for n in self.networks})

    def analyze_rendered(self, rendered: Rendered, params: FaceParams) -> Measurements:
        """Measures rendered face models, whose pose and landmarks are known.

        Args:
            rendered: of ``params``.
            params: complete parameters.
        """
        landmarks, pictures = rendered.landmarks.detach().cpu(), rendered.image.detach().cpu().clamp(0, 1)
        degrees = params.pose_degrees().detach().cpu().double()
        detected = torch.ones(len(landmarks), dtype=torch.bool)
        # A face model wears no glasses, and what its smooth nose shows is noise.
        measured = _measured(pictures, landmarks, detected, degrees, torch.zeros(len(pictures)))
        if self.light_fit:
            light = fit_light(pictures, self.estimator.fit(landmarks), self.model, self.camera)
            measured = replace(measured, fitted_light=light)
        if self.mesh is not None:
            measured = replace(measured, by_mesh=_by_mesh(landmarks, degrees, detected))
        return measured


def _measured(pictures: Tensor, landmarks: Tensor, detected: Tensor, degrees: Tensor, glasses: Tensor) -> Measurements:
    face, light = measure_face(landmarks, degrees[:, 0]), measure_light(pictures, landmarks)
    scalars = {
        **dict(zip(("yaw", "pitch", "roll"), degrees.unbind(1), strict=True)),
        **{each.name: getattr(face, each.name) for each in fields(FaceMeasures)},
        "light": light.asymmetry,
        "luminance": light.luminance,
        "glasses": glasses,
    }
    known: dict[str, Any] = {name: _masked(value, detected) for name, value in scalars.items()}
    return Measurements(**known, detected=detected, landmarks=landmarks)


def _by_mesh(landmarks: Tensor, degrees: Tensor, detected: Tensor) -> MeshMeasures:
    face = measure_face(landmarks, degrees[:, 0])
    scalars = {each.name: getattr(face, each.name) for each in fields(FaceMeasures)}
    scalars |= {"yaw": degrees[:, 0], "pitch": degrees[:, 1]}
    return MeshMeasures(**{name: _masked(value, detected) for name, value in scalars.items()})


def _masked_light(light: FittedLight, detected: Tensor) -> FittedLight:
    return FittedLight(*(torch.where(detected[:, None], each, torch.nan) for each in (light.direction, light.tint)))


def _masked(value: Tensor, detected: Tensor) -> Tensor:
    return torch.where(detected, value.double(), torch.nan)
