"""Angles of rotation tensors that need not be computed again: one edit asks for those of the same person several times.

An entry belongs to one tensor object and goes when the tensor goes. It holds as long as the values are the same: on the
CPU, where memory may be shared with NumPy, they are compared; elsewhere the tensor's count of changes in place is
(``Tensor._version``). A pose that was given in degrees is entered as it was given, so that it reads back exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from stylerig_fast.face.rotation import axis_angle_to_degrees

# Up to this yaw, the given angles are what `axis_angle_to_degrees` computes: beyond 90 degrees it finds other ones.
UNIQUE_YAW = 89.0

# Rotation to its state (`_state`) and its angles, which nobody writes to.
_KNOWN: MutableMapping[Tensor, tuple[int | Tensor, Tensor]] = WeakIdKeyDictionary()


def degrees_of(rotation: Tensor) -> Tensor:
    """Yaw, pitch and roll of a rotation.

    Args:
        rotation: ``(B, 3)`` axis-angle, radians.

    Returns:
        ``(B, 3)`` degrees; a new tensor, which the caller may change.
    """
    if not _countable(rotation):
        return axis_angle_to_degrees(rotation)
    known = _KNOWN.get(rotation)
    if known is None or not _unchanged(rotation, known[0]):
        known = _KNOWN[rotation] = _state(rotation), axis_angle_to_degrees(rotation)
    return known[1].clone()


def remember(rotation: Tensor, degrees: Tensor, given: Mapping[str, object]) -> None:
    """Enters the angles that a rotation was made of.

    Args:
        rotation: ``(B, 3)`` axis-angle, radians.
        degrees: ``(B, 3)`` yaw, pitch, roll; it is kept and may not be changed afterwards.
        given: the angles among them that a caller gave, by name. With one that has other names too, such as a pitch
            of 270 degrees, or with one per face, nothing is entered.
    """
    for name, angle in given.items():
        most = UNIQUE_YAW if name == "yaw" else 180.0
        if angle is not None and not (isinstance(angle, (int, float)) and abs(angle) < most):
            return
    if _countable(rotation):
        _KNOWN[rotation] = _state(rotation), degrees


def _countable(rotation: Tensor) -> bool:
    """Whether changes in place are counted, and no gradient has to pass."""
    return not rotation.is_inference() and not rotation.requires_grad


def _state(rotation: Tensor) -> int | Tensor:
    """What tells whether the rotation has changed since: its values on the CPU, its version elsewhere."""
    return rotation.clone() if rotation.device.type == "cpu" else rotation._version


def _unchanged(rotation: Tensor, state: int | Tensor) -> bool:
    return torch.equal(rotation, state) if isinstance(state, Tensor) else rotation._version == state
