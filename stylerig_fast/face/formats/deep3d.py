"""``BFM_model_front.mat``: the Basel Face Model 2009 as Deep3DFaceRecon cuts it to the face, 80 / 64 / 80 components.

Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised Learning" (CVPRW 2019); ``transferBFM09`` in its
``util/load_mats.py`` writes the file: MATLAB 5 matrices ``meanshape (1, 3 V)``, ``idBase (3 V, 80)``, ``exBase
(3 V, 64)`` in decimetres, ``meantex``, ``texBase (3 V, 80)`` in 0 to 255, ``tri (T, 3)`` and ``keypoints (1, 68)`` from
1. The bases are scaled to one standard deviation.

Built from the published layout; no licensed file was at hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.matlab import read_matlab
from stylerig_fast.face.formats.raw_model import (
    Counts,
    RawFaceModel,
    modes,
    named_landmarks,
    points,
    take,
    triangle_list,
)

NAME = "basel-2009-front"
FIELDS = ("meanshape", "idBase", "exBase", "meantex", "texBase", "tri", "keypoints")


def read_deep3d(path: str, identity: int, expression: int, albedo: int) -> dict[str, np.ndarray]:
    """The file's matrices. Runs in the child process."""
    columns: dict[str, int | None] = dict.fromkeys(FIELDS)
    return read_matlab(path, columns | {"idBase": identity, "exBase": expression, "texBase": albedo})


def deep3d_parts(tree: Any, where: str, counts: Counts) -> RawFaceModel:
    """The model.

    Raises:
        FaceModelError: fields are missing or do not fit each other.
    """
    mean = points(take(tree, "meanshape", where), "meanshape", where)
    colours = points(take(tree, "meantex", where), "meantex", where)
    count = len(mean)
    if len(colours) != count:
        raise FaceModelError(f"{where}: meanshape has {count} vertices, meantex {len(colours)}; the file is damaged")

    def basis(name: str, components: int) -> np.ndarray:
        return modes(take(tree, name, where), np.ones(components), count, components, name, where)

    return RawFaceModel(
        name=NAME,
        unit=1.0,
        mean=mean,
        identity=basis("idBase", counts.identity),
        expression=basis("exBase", counts.expression),
        albedo_mean=colours / 255,
        albedo=basis("texBase", counts.albedo) / 255,
        triangles=triangle_list(take(tree, "tri", where, whole=True), count, "tri", where, first=1),
        landmarks=named_landmarks(take(tree, "keypoints", where, whole=True), count, "keypoints", where, first=1),
    )
