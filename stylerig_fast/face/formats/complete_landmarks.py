"""The landmarks that a list leaves out, from those it has: the open face model's, warped onto the mesh.

The lists that come with published models stop at what is certain: the sides of the jaw are missing in most. The open
model has all 68. A smooth warp (biharmonic splines with an affine part, Bookstein 1989 in three dimensions) that
takes its landmarks to the known ones says where the others are; the nearest vertex that faces the same way is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.landmarks import JAW, LEFT_EYE, NOSE, OUTER_MOUTH, RIGHT_EYE
from stylerig_fast.face.model_io import open_face_model

# Fewer say too little about the shape: an affine map alone takes four.
NEEDED = 12
SAME_SIDE = 0.3  # least cosine between the two normals


@cache
def open_landmarks() -> tuple[np.ndarray, np.ndarray]:
    """Places ``(68, 3)`` and normals ``(68, 3)`` of the open face model's landmarks."""
    model = open_face_model()
    mean, numbers = model.mean.double().numpy(), model.landmarks.numpy()
    return mean[numbers], vertex_normals(mean, model.triangles.numpy())[numbers]


def enough(known: Mapping[int, int]) -> bool:
    """Whether the other landmarks follow from these: of both eyes, the nose and the mouth there must be some."""
    return len(known) >= NEEDED and all(set(known) & set(part) for part in (RIGHT_EYE, LEFT_EYE, NOSE, OUTER_MOUTH))


def complete_landmarks(
    vertices: np.ndarray, triangles: np.ndarray, known: Mapping[int, int], jaw: Sequence[int] = ()
) -> np.ndarray:
    """All 68 landmark vertices.

    Args:
        vertices: ``(V, 3)``, y up, facing +z; of any size.
        triangles: ``(T, 3)``, counter-clockwise seen from outside.
        known: vertices of some landmarks, by number from 0; see `enough`.
        jaw: the vertices among which the jaw's landmarks are, where that is known.

    Returns:
        ``(68,)`` int64.

    Raises:
        FaceModelError: the known ones lie in a plane or on each other.
    """
    places, normals = open_landmarks()
    numbers = np.array(sorted(known))
    targets = vertices[[known[int(i)] for i in numbers]]
    result = np.zeros(68, np.int64)
    result[numbers] = [known[int(i)] for i in numbers]
    missing = np.array(sorted(set(range(68)) - set(known)), np.int64)
    if len(missing):
        moved = _warp(places[numbers], targets, places[missing])
        facing = vertex_normals(vertices, triangles)
        for i, place in zip(missing.tolist(), moved, strict=True):
            candidates = np.array(jaw) if i in JAW and len(jaw) else np.flatnonzero(facing @ normals[i] > SAME_SIDE)
            if not len(candidates):
                raise FaceModelError(f"no vertex faces the way that landmark {i + 1} does; give it with --landmarks")
            result[i] = candidates[((vertices[candidates] - place) ** 2).sum(1).argmin()]
    return result


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals ``(V, 3)``, weighted by area; zero where no triangle is."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    of_triangles = np.cross(b - a, c - a)
    normals = np.stack(
        [
            np.bincount(triangles.ravel(), np.repeat(of_triangles[:, axis], 3), minlength=len(vertices))
            for axis in range(3)
        ],
        1,
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def _warp(source: np.ndarray, target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points moved by the smooth map that takes ``source (N, 3)`` to ``target (N, 3)``."""
    count = len(source)
    affine = np.hstack([source, np.ones((count, 1))])
    system = np.zeros((count + 4, count + 4))
    system[:count, :count] = _distances(source, source)
    system[:count, count:], system[count:, :count] = affine, affine.T
    try:
        weights = np.linalg.solve(system, np.vstack([target, np.zeros((4, 3))]))
    except np.linalg.LinAlgError as error:
        raise FaceModelError("the known landmarks lie in a plane; give all 68 with --landmarks") from error
    return (
        _distances(points, source) @ weights[:count] + np.hstack([points, np.ones((len(points), 1))]) @ weights[count:]
    )


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=-1)
