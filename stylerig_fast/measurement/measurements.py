"""What is measured on a batch of faces: one dataclass of named fields, and the list of their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from stylerig_fast.measurement.expression import FaceMeasures
from stylerig_fast.measurement.lighting import FittedLight

T = TypeVar("T")

# The scalars that every analyzer measures, and how a plot's axis names them. `eye_opening`, the mean of both eyes, is
# derived from two of them.
MEASURE_LABELS = {
    "yaw": "yaw, degrees",
    "pitch": "pitch, degrees",
    "roll": "roll, degrees",
    "mouth_opening": "mouth opening, eye distances",
    "mouth_width": "mouth width, eye distances",
    "corner_height": "height of the mouth's corners, eye distances",
    "eye_opening_right": "opening of the right eye, eye distances",
    "eye_opening_left": "opening of the left eye, eye distances",
    "brow_height": "brow height, eye distances",
    "light": "light, right over left cheek (log)",
    "glasses": "contrast of glasses (log)",
    "eye_opening": "eye opening, eye distances",
}
MEASURES = tuple(name for name in MEASURE_LABELS if name != "eye_opening")


@dataclass(frozen=True, kw_only=True)
class MeshMeasures(FaceMeasures):
    """The measures that a face mesh gives a second opinion on, each ``(B,)`` float64; NaN where it found no face.

    Attributes:
        yaw, pitch: degrees.
    """

    yaw: Tensor
    pitch: Tensor


@dataclass(frozen=True, kw_only=True)
class Measurements(FaceMeasures):
    """Everything measured on a batch of pictures, or of rendered face models.

    Scalars are ``(B,)`` float64, and NaN where no face was detected; those of `FaceMeasures` count in outer-eye
    distances.

    Attributes:
        yaw, pitch, roll: degrees.
        light: natural logarithm of the luminance of the right cheek over the left one, see `LightMeasures`.
        luminance: mean luminance of the face, 0 to 1.
        glasses: contrast of glasses, see `measure_glasses`; 0 for rendered face models, which wear none.
        detected: ``(B,)`` bool, whether a face was found.
        landmarks: ``(B, 68, 2)`` in image widths.
        fitted_light: direction and tint of the light; None unless the analyzer fits it.
        by_mesh: the same measures by a face mesh; None from an analyzer without one.
        descriptor: ``(B, D)`` describes the person, NaN where no face was found; None for rendered face models, and
            from an analyzer without an encoder.
        features: ``(B, D)`` vectors of the networks that the user brought, by their use.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    light: Tensor
    luminance: Tensor
    glasses: Tensor
    detected: Tensor
    landmarks: Tensor
    fitted_light: FittedLight | None = None
    by_mesh: MeshMeasures | None = None
    descriptor: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.detected)

    @property
    def eye_opening(self) -> Tensor:
        """Mean of both eyes, in the precision of the landmarks."""
        return super().eye_opening.float().double()

    def value(self, name: str) -> Tensor:
        """One measure ``(B,)``, by a name of `MEASURE_LABELS`."""
        if name not in MEASURE_LABELS:
            raise ValueError(f"there is no measure {name!r}; there are {', '.join(MEASURE_LABELS)}")
        return getattr(self, name)

    def value_by_mesh(self, name: str) -> Tensor:
        """One measure ``(B,)`` by the face mesh: NaN without one. Names are those of the fields of `MeshMeasures`."""
        return torch.full_like(self.yaw, torch.nan) if self.by_mesh is None else getattr(self.by_mesh, name)

    def select(self, names: Sequence[str] = MEASURES) -> Tensor:
        """Measures ``(B, M)`` float64 in the order of ``names``."""
        return torch.stack([self.value(name) for name in names], dim=1)

    def descriptor_distance(self, other: Measurements) -> Tensor:
        """Euclidean distances ``(B,)`` of the descriptors: how far apart the people are; NaN where there is none."""
        if self.descriptor is None or other.descriptor is None:
            return torch.full_like(self.yaw, torch.nan)
        return (self.descriptor - other.descriptor).norm(dim=-1)

    def map(self, change: Callable[[Any], Any]) -> Measurements:
        """A copy with every tensor replaced by ``change`` of it, in nested fields too."""
        return _map(self, change)

    @staticmethod
    def cat(parts: Sequence[Measurements]) -> Measurements:
        """Several batches one after the other."""
        return _cat(parts)


def _map(value: T, change: Callable[[Any], Any]) -> T:
    if value is None:
        return value
    if isinstance(value, Mapping):
        return {name: _map(each, change) for name, each in value.items()}  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _map(getattr(value, each.name), change) for each in fields(value)})
    return change(value)


def _cat(parts: Sequence[T]) -> T:
    first = parts[0]
    if first is None:
        return first
    if isinstance(first, Mapping):
        return {name: _cat([part[name] for part in parts]) for name in first}  # type: ignore[index, return-value]
    if is_dataclass(first) and not isinstance(first, type):
        names = [each.name for each in fields(first)]
        return replace(first, **{name: _cat([getattr(part, name) for part in parts]) for name in names})
    return torch.cat(list(parts))  # type: ignore[arg-type, return-value]
