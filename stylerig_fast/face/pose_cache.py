"""Angles of a rotation that need not be computed again: an edit asks for the same ones several times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from stylerig_fast.face.rotation import axis_angle_to_degrees

# Up to this yaw, what was asked for is what `axis_angle_to_degrees` finds: beyond 90 degrees it finds other angles.
UNIQUE_YAW = 89.0


class KnownPose(NamedTuple):
    """A rotation tensor, recognised by identity and by torch's count of its changes in place, and its angles.

    Attributes:
        rotation: ``(B, 3)`` axis-angle.
        version: of ``rotation``.
        degrees: ``(B, 3)`` yaw, pitch, roll; nobody writes to it.
    """

    rotation: Tensor
    version: int
    degrees: Tensor

    @staticmethod
    def of(rotation: Tensor, degrees: Tensor) -> KnownPose | None:
        """None where changes in place are not counted, or where gradients have to pass."""
        if rotation.is_inference() or rotation.requires_grad:
            return None
        return KnownPose(rotation, rotation._version, degrees)

    @staticmethod
    def asked(rotation: Tensor, degrees: Tensor, angles: Mapping[str, object]) -> KnownPose | None:
        """What is known of a rotation that was made of ``degrees``, of which ``angles`` by name were asked for."""
        for name, angle in angles.items():
            most = UNIQUE_YAW if name == "yaw" else 180.0
            if angle is not None and not (isinstance(angle, (int, float)) and abs(angle) < most):
                return None
        return KnownPose.of(rotation, degrees)

    def holds(self, rotation: Tensor) -> bool:
        """Whether ``rotation`` is the one, unchanged."""
        return rotation is self.rotation and not rotation.requires_grad and rotation._version == self.version


def degrees_of(rotation: Tensor, known: KnownPose | None) -> tuple[Tensor, KnownPose | None]:
    """Yaw, pitch and roll ``(B, 3)``, the caller's own, and what is known from now on."""
    if known is None or not known.holds(rotation):
        degrees = axis_angle_to_degrees(rotation)
        known = KnownPose.of(rotation, degrees)
        if known is None:
            return degrees, None
    return known.degrees.clone(), known
