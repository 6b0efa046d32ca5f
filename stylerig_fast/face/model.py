"""The 3D morphable model: mean, linear bases, triangles, landmark vertices."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylerig_fast.errors import FaceModelError


@dataclass(frozen=True)
class FaceModel:
    """A linear 3D morphable model in decimetres, y up, face toward +z, origin near the head's centre.

    ``vertices = mean + identity.T @ alpha + expression.T @ delta`` and
    ``colours = albedo_mean + albedo.T @ beta``. Bases are scaled so that identity and albedo
    coefficients have unit variance over people; a named expression unit runs from 0 (rest) to 1 (full).

    Attributes:
        name: what it is, for messages and for the hash that ties weights to it.
        mean: ``(V, 3)`` float32, decimetres.
        identity: ``(A, V, 3)`` offsets per standard deviation.
        expression: ``(E, V, 3)`` offsets per unit.
        albedo_mean: ``(V, 3)`` RGB in [0, 1].
        albedo: ``(C, V, 3)`` RGB offsets per standard deviation.
        triangles: ``(T, 3)`` int32, counter-clockwise seen from outside.
        landmarks: ``(68,)`` int64, vertex of each iBUG landmark.
        mirror: ``(V,)`` int64, the vertex on the other side of the face for each vertex.
        expression_names: E names; the first of them are the ARKit units, the others ``residual_NN``.
    """

    name: str
    mean: Tensor
    identity: Tensor
    expression: Tensor
    albedo_mean: Tensor
    albedo: Tensor
    triangles: Tensor
    landmarks: Tensor
    mirror: Tensor
    expression_names: tuple[str, ...]

    def __post_init__(self) -> None:
        v = self.mean.shape[0]
        expected = {
            "mean": (v, 3),
            "identity": (self.identity.shape[0], v, 3),
            "expression": (len(self.expression_names), v, 3),
            "albedo_mean": (v, 3),
            "albedo": (self.albedo.shape[0], v, 3),
            "triangles": (self.triangles.shape[0], 3),
            "landmarks": (68,),
            "mirror": (v,),
        }
        for field, shape in expected.items():
            value = getattr(self, field)
            if tuple(value.shape) != shape:
                raise FaceModelError(f"{self.name}: {field} has shape {tuple(value.shape)}, expected {shape}")
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise FaceModelError(f"{self.name}: {field} holds values that are not finite")
        for field in ("triangles", "landmarks", "mirror"):
            value = getattr(self, field)
            if value.numel() and (int(value.min()) < 0 or int(value.max()) >= v):
                raise FaceModelError(f"{self.name}: {field} points outside its {v} vertices")

    @property
    def num_vertices(self) -> int:
        """V, the number of vertices."""
        return self.mean.shape[0]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of coefficients per FaceParams block."""
        return {
            "identity": self.identity.shape[0],
            "albedo": self.albedo.shape[0],
            "expression": self.expression.shape[0],
            "illumination": 27,
            "rotation": 3,
            "translation": 3,
        }

    def fingerprint(self) -> str:
        """What ties weights to their face model: sha256 over every field's values in float32, and the unit names."""
        digest = hashlib.sha256("\n".join(self.expression_names).encode())
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                plain = value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu().long()
                digest.update(f"{field.name}{tuple(plain.shape)}".encode())
                digest.update(plain.contiguous().numpy().data)
        return digest.hexdigest()

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> FaceModel:
        """The same model on another device, or with its floating-point fields in another dtype."""
        moved: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                moved[field.name] = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
        return dataclasses.replace(self, **moved)
