"""Basel Face Model 2009: ``01_MorphableModel.mat``.

Paysan et al., "A 3D Face Model for Pose and Illumination Invariant Face Recognition" (AVSS 2009). MATLAB 5 matrices
``shapeMU (3 V, 1)``, ``shapePC (3 V, 199)``, ``shapeEV (199, 1)`` in micrometres, ``texMU``, ``texPC``, ``texEV`` in 0
to 255, ``tl (T, 3)`` from 1, clockwise; EV are standard deviations. It has no expressions: those of Guo et al. go with
it (`guo_expression`).

Built from the published layout; no licensed file was at hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.landmark_lists import BASEL_2009
from stylerig_fast.face.formats.matlab import read_matlab
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel, modes, points, take, triangle_list

NAME = "basel-2009"
MICROMETRE = 1e-5  # decimetres
FIELDS = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")


def read_basel2009(path: str, identity: int, albedo: int) -> dict[str, np.ndarray]:
    """The file's matrices. Runs in the child process."""
    columns: dict[str, int | None] = dict.fromkeys(FIELDS)
    return read_matlab(path, columns | {"shapePC": identity, "texPC": albedo})


def basel2009_parts(
    tree: Any,
    where: str,
    counts: Counts,
    expression: np.ndarray | None = None,
    std: np.ndarray | None = None,
    trim: np.ndarray | None = None,
) -> RawFaceModel:
    """The model, cut down to the vertices that the expression basis has.

    Args:
        tree: what `read_basel2009` gave.
        where: the file, for messages.
        counts: components to keep.
        expression: ``(E, V', 3)`` micrometres, from `guo_expression`; without it the model has no expressions.
        std: at least E factors of them.
        trim: V' vertices (from 1) of the model that the expression basis is about; None if it is about all.

    Raises:
        FaceModelError: fields are missing or do not fit each other.
    """
    mean = points(take(tree, "shapeMU", where), "shapeMU", where)
    colours = points(take(tree, "texMU", where), "texMU", where)
    count = len(mean)
    if len(colours) != count:
        raise FaceModelError(f"{where}: shapeMU has {count} vertices, texMU {len(colours)}; the file is damaged")
    identity = modes(
        take(tree, "shapePC", where), take(tree, "shapeEV", where), count, counts.identity, "shapePC", where
    )
    albedo = modes(take(tree, "texPC", where), take(tree, "texEV", where), count, counts.albedo, "texPC", where)
    triangles = triangle_list(take(tree, "tl", where, whole=True), count, "tl", where, first=1)
    landmarks = BASEL_2009 if count == 53490 else {}
    kept = _kept(trim, count, where)
    units = np.zeros((0, len(kept), 3))
    if expression is not None:
        if expression.shape[1] != len(kept):
            raise FaceModelError(
                f"{where}: {len(kept)} vertices, but the expression basis has {expression.shape[1]}; put "
                "BFM_exp_idx.mat, which says where they are, beside it"
            )
        assert std is not None
        units = expression.astype(np.float64) * std[: len(expression), None, None]
    return RawFaceModel(
        name=NAME,
        unit=MICROMETRE,
        mean=mean[kept],
        identity=identity[:, kept],
        expression=units,
        albedo_mean=colours[kept] / 255,
        albedo=albedo[:, kept] / 255,
        triangles=_remaining(triangles, kept, count),
        landmarks=_nearest_kept(landmarks, mean, kept),
    )


def _kept(trim: np.ndarray | None, count: int, where: str) -> np.ndarray:
    if trim is None:
        return np.arange(count)
    kept = trim.reshape(-1).astype(np.int64) - 1
    if not len(kept) or int(kept.min()) < 0 or int(kept.max()) >= count or len(np.unique(kept)) != len(kept):
        raise FaceModelError(f"{where}: trimIndex does not list different vertices of its {count}, from 1")
    return kept


def _remaining(triangles: np.ndarray, kept: np.ndarray, count: int) -> np.ndarray:
    """Triangles of the kept vertices, in their new numbers."""
    number = np.full(count, -1)
    number[kept] = np.arange(len(kept))
    renumbered = number[triangles]
    return renumbered[(renumbered >= 0).all(1)]


def _nearest_kept(landmarks: dict[int, int], mean: np.ndarray, kept: np.ndarray) -> dict[int, int]:
    """Landmarks in the new numbers; one whose vertex was left out moves to the nearest that is there."""
    return {i: int(((mean[kept] - mean[v]) ** 2).sum(1).argmin()) for i, v in landmarks.items()}
