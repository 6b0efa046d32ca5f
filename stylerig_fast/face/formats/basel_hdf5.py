"""Basel Face Models 2017 and 2019: ``model2017-1_*.h5``, ``model2019_*.h5``, and what else scalismo-faces writes.

Gerig et al., "Morphable Face Models: An Open Framework" (FG 2018); layout after ``MoMoIO.scala`` of scalismo-faces.
``shape``, ``expression`` and ``color`` have each ``model/mean (3 V)``, ``model/pcaBasis (3 V, K)`` and
``model/pcaVariance (K)``; ``shape/representer/cells (3, T)`` are the triangles from 0. Millimetres, colours in [0, 1].
``metadata/landmarks/json`` lists named places on the mean face. They are Basel's own; those that iBUG's 68 have too
are used. Places whose names are numbers 1 to 68 are taken as iBUG's.

Version 0.8 of the layout keeps the basis times the standard deviation in ``pcaBasis``, later ones the basis.

Built from the published layout; no licensed file was at hand.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.hdf5 import read_hdf5
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel, modes, points, take, triangle_list

NAME = "basel-hdf5"
MILLIMETRE = 1e-2  # decimetres
JSON, CELLS = "metadata/landmarks/json", "shape/representer/cells"

# Basel's names of places that are iBUG landmarks (numbers from 0); several names stand for the middle between them.
PLACES: dict[int, tuple[str, ...]] = {
    8: ("center.chin.tip",),
    21: ("right.eyebrow.inner_lower", "right.eyebrow.inner_upper"),
    22: ("left.eyebrow.inner_lower", "left.eyebrow.inner_upper"),
    30: ("center.nose.tip",),
    33: ("center.nose.attachement_to_philtrum",),
    36: ("right.eye.corner_outer",),
    39: ("right.eye.corner_inner",),
    42: ("left.eye.corner_inner",),
    45: ("left.eye.corner_outer",),
    48: ("right.lips.corner",),
    50: ("right.lips.philtrum_ridge",),
    51: ("center.lips.upper.outer",),
    52: ("left.lips.philtrum_ridge",),
    54: ("left.lips.corner",),
    57: ("center.lips.lower.outer",),
    62: ("center.lips.upper.inner",),
    66: ("center.lips.lower.inner",),
}


def read_basel_hdf5(path: str, identity: int, expression: int, albedo: int) -> dict[str, Any]:
    """The file's datasets. Runs in the child process."""
    names: dict[str, int | None] = {CELLS: None, JSON: None}
    kept = {"shape": identity, "expression": expression, "color": albedo}
    for part, count in kept.items():
        names |= {f"{part}/model/mean": None, f"{part}/model/pcaBasis": count, f"{part}/model/pcaVariance": None}
        names |= {f"{part}/version/majorVersion": None, f"{part}/version/minorVersion": None}
    return read_hdf5(path, names)


def basel_hdf5_parts(tree: Any, where: str, counts: Counts) -> RawFaceModel:
    """The model; one without expressions has none.

    Raises:
        FaceModelError: datasets are missing or do not fit each other.
    """
    mean = points(take(tree, "shape/model/mean", where), "shape/model/mean", where)
    count = len(mean)
    colours = points(take(tree, "color/model/mean", where), "color/model/mean", where)
    expression = np.zeros((0, count, 3))
    if "expression/model/pcaBasis" in tree:
        at_rest = points(take(tree, "expression/model/mean", where), "expression/model/mean", where)
        if len(at_rest) != count:
            raise FaceModelError(f"{where}: shape has {count} vertices, expression {len(at_rest)}")
        mean = mean + at_rest
        expression = _modes(tree, "expression", where, count, counts.expression)
    if len(colours) != count:
        raise FaceModelError(f"{where}: shape has {count} vertices, color {len(colours)}; the file is damaged")
    return RawFaceModel(
        name=NAME,
        unit=MILLIMETRE,
        mean=mean,
        identity=_modes(tree, "shape", where, count, counts.identity),
        expression=expression,
        albedo_mean=colours,
        albedo=_modes(tree, "color", where, count, counts.albedo),
        triangles=triangle_list(take(tree, CELLS, where, whole=True), count, CELLS, where),
        landmarks=_landmarks(tree.get(JSON), mean, where),
    )


def _modes(tree: Any, part: str, where: str, vertices: int, count: int) -> np.ndarray:
    name = f"{part}/model/pcaBasis"
    basis, variance = take(tree, name, where), take(tree, f"{part}/model/pcaVariance", where)
    if float(variance.min()) < 0:
        raise FaceModelError(f"{where}: {part}/model/pcaVariance is negative; the file is damaged")
    std = np.sqrt(variance.astype(np.float64).reshape(-1))
    if _scaled_already(tree, part, basis, std):
        std = np.ones_like(std)
    return modes(basis, std, vertices, count, name, where)


def _scaled_already(tree: Any, part: str, basis: np.ndarray, std: np.ndarray) -> bool:
    """Whether the basis is of layout 0.8. Files without a version are told by the columns' lengths."""
    version = [tree.get(f"{part}/version/{which}") for which in ("majorVersion", "minorVersion")]
    if all(isinstance(value, np.ndarray) and value.size == 1 for value in version):
        return [int(value.reshape(-1)[0]) for value in version] == [0, 8]
    length = np.linalg.norm(basis.astype(np.float64), axis=0)[: len(std)] if basis.ndim == 2 else np.ones(1)
    expected = std[: len(length)]
    return bool(np.allclose(length, expected, rtol=1e-2) and not np.allclose(length, 1, rtol=1e-2))


def _landmarks(text: object, mean: np.ndarray, where: str) -> dict[int, int]:
    if text is None:
        return {}
    places = _places(text, where)
    wanted = {int(name) - 1: place for name, place in places.items() if name.isascii() and name.isdecimal()}
    wanted = {i: place for i, place in wanted.items() if 0 <= i < 68}
    for i, names in PLACES.items():
        if i not in wanted and all(name in places for name in names):
            wanted[i] = np.mean([places[name] for name in names], axis=0)
    return {i: int(((mean - place) ** 2).sum(1).argmin()) for i, place in wanted.items()}


def _places(text: object, where: str) -> dict[str, np.ndarray]:
    """Names and coordinates, ``[{"id": ..., "coordinates": [x, y, z]}, ...]``."""
    try:
        entries = json.loads(str(text))
        places = {str(entry["id"]): np.array(entry["coordinates"], np.float64) for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise FaceModelError(f"{where}: {JSON} is not a list of named places ({error!r})") from error
    if any(place.shape != (3,) or not bool(np.isfinite(place).all()) for place in places.values()):
        raise FaceModelError(f"{where}: {JSON} has places that are not three finite numbers")
    return places
