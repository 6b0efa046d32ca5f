"""From what a file holds to a `FaceModel`: decimetres, outward triangles, 68 landmarks, origin in the head."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.complete_landmarks import complete_landmarks, enough, open_landmarks
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel
from stylerig_fast.face.landmarks import INNER_MOUTH, JAW, OUTER_EYE_CORNERS
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.smooth_albedo import smooth_albedo
from stylerig_fast.warn import warn_caller

# Vertices of the landmarks by number from 0 (some may be missing), or what finds them on a model without any.
LandmarkSource: TypeAlias = Mapping[int, int] | Callable[[FaceModel], Sequence[int]]

INNER = tuple(i for i in range(68) if i not in JAW)
# How far a plausible face's landmarks are from the open model's, in units of the landmarks' spread, after scale and
# shift: root mean square, and largest. The ICT model has 0.14 and 0.34; any wrong axis gives more than 1.
LIKE_A_FACE = (0.4, 1.0)
EYE_DISTANCE = (0.6, 1.2)  # decimetres between the outer eye corners; adults have about 0.9


def assemble(parts: RawFaceModel, where: str, counts: Counts, landmarks: LandmarkSource | None = None) -> FaceModel:
    """The face model.

    Args:
        parts: what the file holds.
        where: the file, for messages.
        counts: components to keep.
        landmarks: vertices in place of the file's own, or what finds them.

    Raises:
        FaceModelError: there are no expressions or no landmarks, or it does not look like a face where the format
            says it should.
    """
    vertices = parts.mean.astype(np.float64) * parts.unit
    if not len(parts.expression):
        raise FaceModelError(f"{where}: has no expressions; give the file that has them with --expression")
    triangles = face_outward(vertices, parts.triangles)
    model = _unplaced(parts, counts, vertices, triangles)
    known = parts.landmarks if landmarks is None else landmarks
    return move_origin(with_landmarks(model, known, where, parts.jaw), where)


def cut(model: FaceModel, counts: Counts) -> FaceModel:
    """The model with at most so many components; named expressions are all kept."""
    named = sum(not name.startswith("residual_") for name in model.expression_names)
    kept = max(counts.expression, named)
    return dataclasses.replace(
        model,
        identity=model.identity[: counts.identity].clone(),
        expression=model.expression[:kept].clone(),
        expression_names=model.expression_names[:kept],
        albedo=model.albedo[: counts.albedo].clone(),
    )


def with_landmarks(model: FaceModel, source: LandmarkSource, where: str, jaw: Sequence[int] = ()) -> FaceModel:
    """The model with these landmarks; those that are not known are placed by `complete_landmarks`.

    Args:
        model: in decimetres, looking toward +z with y up.
        source: the vertices, or what finds them.
        where: the file, for messages.
        jaw: as `complete_landmarks` has it.

    Raises:
        FaceModelError: too few are known, or they are outside the mesh.
    """
    numbers = _landmarks(model, where, source, jaw)
    return dataclasses.replace(model, landmarks=torch.from_numpy(numbers))


def move_origin(model: FaceModel, where: str) -> FaceModel:
    """The model with its origin where the open face model's is: between the ears, at the height of the lower lids.

    The place follows from the landmarks inside the face: their middle and their spread. Moving it in y and z
    alone keeps the plane of symmetry, which is x = 0 in every published model.

    Raises:
        FaceModelError: the landmarks are not those of a face in decimetres that looks toward +z.
    """
    found = model.mean[model.landmarks].double().numpy()
    middle, spread = _check_landmarks(found, where)
    open_middle, open_spread = _centre(open_landmarks()[0])
    shift = middle - open_middle / open_spread * spread
    shift[0] = 0
    return dataclasses.replace(model, mean=(model.mean.double() - torch.from_numpy(shift)).float())


def face_outward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles ``(T, 3)`` turned so that they are counter-clockwise seen from outside, all or none.

    Formats differ in this, and copies of one format do too; the geometry tells. Seen from a place far behind the face,
    the flux through a surface that faces outward is positive, whether the surface is closed or a mask.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    depth = np.ptp(vertices[:, 2]) + 1e-9
    behind = vertices.mean(0) - np.array([0, 0, 2 * depth])
    flux = (np.cross(b - a, c - a) * ((a + b + c) / 3 - behind)).sum()
    return triangles if flux >= 0 else triangles[:, ::-1]


def _unplaced(parts: RawFaceModel, counts: Counts, vertices: np.ndarray, triangles: np.ndarray) -> FaceModel:
    """The model without landmarks, in the middle of its bounding box."""
    vertices = vertices - np.array([0, 1, 1]) * (vertices.min(0) + vertices.max(0)) / 2
    mean = _tensor(vertices)
    if parts.albedo_mean is None or parts.albedo is None:
        albedo_mean, albedo = smooth_albedo(mean, counts.albedo)
    else:
        albedo_mean, albedo = _tensor(parts.albedo_mean), _tensor(parts.albedo)
    names = expression_names(parts.expression_names, len(parts.expression))
    whole = FaceModel(
        name=parts.name,
        mean=mean,
        identity=_tensor(parts.identity * parts.unit),
        expression=_tensor(parts.expression * parts.unit),
        albedo_mean=albedo_mean,
        albedo=albedo,
        triangles=torch.from_numpy(triangles.astype(np.int32)),
        landmarks=torch.zeros(68, dtype=torch.int64),
        mirror=nearest_mirror(mean),
        expression_names=names,
    )
    return cut(whole, counts)


def expression_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """``count`` names: those given, then ``residual_00``, ``residual_01``, ..."""
    return (*names, *(f"residual_{k:02d}" for k in range(count - len(names))))


def _landmarks(model: FaceModel, where: str, source: LandmarkSource, jaw: Sequence[int]) -> np.ndarray:
    known = dict(enumerate(int(v) for v in source(model))) if callable(source) else source
    outside = {i + 1: v for i, v in known.items() if not 0 <= v < model.num_vertices}
    if outside:
        raise FaceModelError(f"{where}: landmarks {outside} are outside its {model.num_vertices} vertices")
    if len(known) == 68:
        return np.array([known[i] for i in range(68)], np.int64)
    if not enough(known):
        raise FaceModelError(
            f"{where}: the vertices of the 68 landmarks are not known for this mesh of {model.num_vertices} vertices "
            f"({len(known)} are). Give a file with --landmarks FILE (68 vertex numbers, or an eos mapping), or have "
            "them found on rendered pictures with --landmarks detect"
        )
    warn_caller(
        f"{where}: {68 - len(known)} of the 68 landmarks are not in its list; they are placed by warping the open "
        "face model's. Look at them with --preview"
    )
    return complete_landmarks(model.mean.double().numpy(), model.triangles.numpy(), known, jaw)


def _check_landmarks(found: np.ndarray, where: str) -> tuple[np.ndarray, float]:
    """Middle and spread of landmarks ``(68, 3)`` that look like a face's."""
    right, left = OUTER_EYE_CORNERS
    distance = float(np.linalg.norm(found[left] - found[right]))
    if not EYE_DISTANCE[0] <= distance <= EYE_DISTANCE[1]:
        raise FaceModelError(
            f"{where}: the outer eye corners are {distance:.3g} dm apart, expected about 0.9. The landmarks' vertices "
            "are not this mesh's, or the file is in another unit than its format's"
        )
    middle, spread = _centre(found)
    expected, scale = open_landmarks()[0], _centre(open_landmarks()[0])
    offsets = np.linalg.norm((found - middle) / spread - (expected - scale[0]) / scale[1], axis=1)
    # Lists leave the inner mouth corners and the jaw to taste; they count in the mean, not as the worst.
    worst = max((i for i in INNER if i not in INNER_MOUTH), key=lambda i: offsets[i])
    rms = float(np.sqrt((offsets**2).mean()))
    if rms > LIKE_A_FACE[0] or offsets[worst] > LIKE_A_FACE[1]:
        raise FaceModelError(
            f"{where}: the landmarks do not lie like a face's that looks toward +z with y up (off by {rms:.2f} of "
            f"their spread, landmark {worst + 1} by {offsets[worst]:.2f}); their vertices are not this mesh's, or "
            "its axes are turned. Try --landmarks detect"
        )
    return middle, spread


def landmark_spread(landmarks: np.ndarray) -> float:
    """How far the landmarks inside the face ``(68, 3)`` are from their middle, root mean square: the face's size."""
    return _centre(landmarks)[1]


def _centre(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and root mean square spread of the landmarks inside the face."""
    inner = landmarks[list(INNER)]
    middle = inner.mean(0)
    return middle, float(np.sqrt(((inner - middle) ** 2).sum(1).mean()))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def nearest_mirror(vertices: Tensor, chunk: int = 2048) -> Tensor:
    """For each vertex ``(V, 3)`` the one nearest to its mirror image in x: ``(V,)`` int64."""
    # In double, because cdist goes through squared norms.
    flipped = vertices.double() * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    try:
        from scipy.spatial import KDTree
    except ImportError:  # the same, some hundred times slower on a large mesh
        return torch.cat([torch.cdist(part, vertices.double()).argmin(1) for part in flipped.split(chunk)])
    return torch.from_numpy(KDTree(vertices.double().numpy()).query(flipped.numpy())[1])
