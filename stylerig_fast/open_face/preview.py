"""Pictures of a face model, for landmark detection and for looking at what was built."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.face.camera import FFHQ_FOCAL
from stylerig_fast.face.lighting import light, shade
from stylerig_fast.face.model import FaceModel

# Puts the open model's face into a picture as large as FFHQ's alignment does (outer eye corners 0.34 of the width).
DISTANCE = 11.3
BACKGROUND = 0.25


def render(
    model: FaceModel,
    shape: Tensor | None = None,
    albedo: Tensor | None = None,
    size: int = 256,
    yaw: float = 0.0,
    pitch: float = 0.0,
    focus: Sequence[float] = (0.0, 0.0, 0.5),
    zoom: float = 1.0,
    direction: Sequence[float] = (0.3, 0.5, 1.0),
    oversample: int = 2,
) -> np.ndarray:
    """One lit picture of a shape of the model.

    Args:
        model: the face model.
        shape: ``(V, 3)``; the mean if left out.
        albedo: ``(V, 3)``; the mean if left out.
        size: pixels.
        yaw: degrees, positive turns the nose to the picture's right.
        pitch: degrees, positive lifts the chin.
        focus: point of the model in the middle of the picture.
        zoom: 1 shows the whole face.
        direction: toward the light.
        oversample: samples per pixel and axis.

    Returns:
        ``(size, size, 3)`` uint8.
    """
    width = size * oversample
    focal = FFHQ_FOCAL * zoom
    vertices = view(model.mean if shape is None else shape, yaw, pitch, focus)[None]
    colours = (model.albedo_mean if albedo is None else albedo)[None]
    seen = ops.rasterize(vertices, model.triangles, focal, width, width)
    weights = ops.barycentrics(vertices, model.triangles, seen.triangle, focal)[0]
    corners = model.triangles[seen.triangle[0].clamp_min(0)].long()
    normals = ops.vertex_normals(vertices, model.triangles)
    at_pixels = [(field[0][corners] * weights[..., None]).sum(-2).flatten(0, 1)[None] for field in (colours, normals)]
    gamma = light(torch.tensor([direction]), torch.full((1, 3), 0.75), torch.full((1, 3), 0.3))
    picture = shade(at_pixels[0], torch.nn.functional.normalize(at_pixels[1], dim=-1), gamma)
    picture = torch.where(seen.triangle.flatten()[None, :, None] >= 0, picture, torch.as_tensor(BACKGROUND))
    picture = picture.view(size, oversample, size, oversample, 3).mean((1, 3)).clamp(0, 1)
    return (picture * 255).round().to(torch.uint8).numpy()


def view(points: Tensor, yaw: float, pitch: float, focus: Sequence[float]) -> Tensor:
    """Model points ``(..., 3)`` in the preview's camera space."""
    y, p = np.radians(yaw), np.radians(pitch)
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    rotation = torch.tensor(turn @ nod, dtype=points.dtype)
    away = torch.tensor([0.0, 0.0, DISTANCE], dtype=points.dtype)
    return (points - torch.tensor(focus, dtype=points.dtype)) @ rotation.T - away
