"""The 68 landmark vertices of any face mesh, found by a detector on renders of it.

What `landmarks.place_landmarks` does for the open face model, without knowing where the mesh has lips and lids: the
vertices that a frontal picture shows are the candidates, and nothing of the model is moved. A frontal render of the
mean says roughly where the landmarks are; renders of many people from several sides then choose among the vertices
near there.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from stylerig_fast import ops
from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.camera import FFHQ_FOCAL, Camera
from stylerig_fast.face.formats.to_face_model import move_origin
from stylerig_fast.face.landmarks import JAW, MIRROR
from stylerig_fast.face.model import FaceModel
from stylerig_fast.open_face import preview
from stylerig_fast.open_face.crop import largest_pieces
from stylerig_fast.open_face.landmarks import (
    DEPTH_SHARE,
    FOCUS,
    JAW_DEPTH,
    LOWER_LIP,
    SCALE,
    UPPER_LIP,
    Detect,
    Renders,
    render_people,
)

SIZE = 512
# A vertex counts as visible this far (dm) behind the surface that a pixel shows.
TOLERANCE = 0.03
# Distance (image widths) from the first guess within which a vertex may become the landmark.
NEAR = 0.04


def detect_landmarks(model: FaceModel, detect: Detect, people: int = 24, seed: int = 0, where: str = "model") -> Tensor:
    """The vertices ``(68,)`` int64.

    Args:
        model: in decimetres, y up, looking toward +z, anywhere in its frame; its landmarks are not looked at.
        detect: as `landmarks.place_landmarks` has it.
        people: renders to look at.
        seed: of the random people.
        where: the model's name for messages.

    Raises:
        FaceModelError: no face is found on the render of the mean, or on hardly any of the others.
    """
    first, at_place = _first_guess(model, detect, where)
    renders = render_people(at_place, detect, people, seed)
    if len(renders.frontal) < people // 2 or not renders.frontal.any():
        raise FaceModelError(
            f"{where}: the detector found a face on {len(renders.frontal)} of {people} renders; give the landmarks "
            "with a file"
        )
    # The largest connected piece is the skin: a landmark on an eyeball would not close with the lid.
    seen = _visible(at_place, FOCUS) & _skin(at_place)
    mirror, mean = at_place.mirror.numpy(), at_place.mean.double().numpy()
    frontal = Camera().project(preview.view(at_place.mean, 0, 0, FOCUS)).numpy()
    opening = _mouth_opening(at_place)
    result = np.zeros(68, np.int64)
    for i in range(68):
        j = MIRROR[i]
        if j < i:
            continue
        away = np.linalg.norm(frontal - frontal[first[i]], axis=1)
        near = seen & (away < NEAR)
        if i in UPPER_LIP or i in LOWER_LIP:
            # Closed lips meet: what moves like the lip's outer edge when the mouth opens belongs to that lip.
            upper = abs(opening - opening[result[51]]) < abs(opening - opening[result[57]])
            near &= upper if i in UPPER_LIP else ~upper
        vertices = np.flatnonzero(near)
        vertices = vertices if len(vertices) else first[i : i + 1]
        cost = _cost(renders, i, vertices) + _cost(renders, j, mirror[vertices])
        if i in JAW:
            # The sides of a head are seen edge-on: many depths project to one place.
            cost += 2 * (DEPTH_SHARE * SCALE * (mean[vertices, 2] - JAW_DEPTH[i])) ** 2
        result[i] = vertices[cost.argmin()]
        result[j] = mirror[result[i]]
    return torch.from_numpy(result)


def _first_guess(model: FaceModel, detect: Detect, where: str) -> tuple[np.ndarray, FaceModel]:
    """Landmark vertices from one frontal render of the mean, and the model moved to where the open one is."""
    low, high = model.mean.min(0).values, model.mean.max(0).values
    focus = ((low + high) / 2).tolist()
    # The whole mesh in the picture, a margin around it.
    zoom = min(1.0, 0.9 / float((high - low)[:2].max() * FFHQ_FOCAL / (preview.DISTANCE - float(high[2]) + focus[2])))
    picture = preview.render(model, size=SIZE, focus=focus, zoom=zoom, oversample=1)
    points, good = detect(picture[None])
    if not good[0]:
        raise FaceModelError(f"{where}: the detector finds no face on a frontal render of the mean; give the landmarks")
    at_pixels = Camera(FFHQ_FOCAL * zoom).project(preview.view(model.mean, 0, 0, focus)).numpy()
    candidates = np.flatnonzero(_visible(model, focus, zoom))
    found = np.array([candidates[((at_pixels[candidates] - p) ** 2).sum(1).argmin()] for p in points[0]])
    guess = dataclasses.replace(model, landmarks=torch.from_numpy(found))
    return found, move_origin(guess, where)


def _visible(model: FaceModel, focus: object, zoom: float = 1.0) -> np.ndarray:
    """Which vertices ``(V,)`` of the mean a frontal picture shows."""
    points = preview.view(model.mean, 0, 0, focus)  # type: ignore[arg-type]
    depth = ops.rasterize(points[None], model.triangles, FFHQ_FOCAL * zoom, SIZE, SIZE).depth[0]
    places = Camera(FFHQ_FOCAL * zoom).project(points)
    x, y = (places * SIZE).long().clamp(0, SIZE - 1).unbind(-1)
    inside = ((places > 0) & (places < 1)).all(-1)
    # Of the pixels around a vertex at the silhouette some show what is behind.
    nearby = torch.stack([depth[(y + dy).clamp(0, SIZE - 1), (x + dx).clamp(0, SIZE - 1)] for dy in D for dx in D])
    return (inside & ((nearby + points[:, 2] > -TOLERANCE) & (nearby > 0)).any(0)).numpy()


D = (-1, 0, 1)


def _skin(model: FaceModel) -> np.ndarray:
    """Which vertices ``(V,)`` are in the largest connected piece."""
    triangles = model.triangles.numpy()
    piece = np.zeros(model.num_vertices, bool)
    piece[triangles[largest_pieces(triangles, model.num_vertices, pieces=1)]] = True
    return piece


def _mouth_opening(model: FaceModel) -> np.ndarray:
    """How far up each vertex ``(V,)`` goes when the expressions open the mouth as far as they can together."""
    up = model.expression[:, :, 1].double().numpy()
    upper, lower = model.landmarks[[51, 57]].tolist()
    return (up[:, upper] - up[:, lower]) @ up


def _cost(renders: Renders, i: int, vertices: np.ndarray) -> np.ndarray:
    """Median over the views of the squared distance of each vertex from landmark ``i``, in image widths."""
    views = renders.frontal if i in JAW else np.ones(len(renders.frontal), bool)
    offsets = renders.positions[views][:, vertices] - renders.found[views][:, i, None]
    return np.median((offsets**2).sum(-1), axis=0)
