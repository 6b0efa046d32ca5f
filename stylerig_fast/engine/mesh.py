"""The face model's surface, for a viewer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """What a 3D viewer needs of a batch of faces.

    Attributes:
        vertices: ``(B, V, 3)`` decimetres, camera space.
        triangles: ``(T, 3)`` int32.
        colours: ``(B, V, 3)`` albedo RGB in [0, 1].
        landmarks: ``(B, 68, 2)`` image widths.
    """

    vertices: Tensor
    triangles: Tensor
    colours: Tensor
    landmarks: Tensor
