"""Models that eos reads and writes: the Surrey Face Model ``sfm_shape_3448.bin`` and its expression blendshapes.

Huber et al., "A Multiresolution 3D Morphable Face Model and Fitting Framework" (VISAPP 2016). The file is an archive of
the C++ library cereal; ``MorphableModel.hpp`` of eos 1.x has its layout, versions 1 to 4: the version (uint32), a PCA
model of the shape, one of the colours (empty in the public file), from version 2 the expressions (none, a PCA model, or
blendshapes), from 3 landmark definitions, then texture coordinates, from 4 their triangles. A PCA model is the mean
``(3 V, 1)``, an orthonormal basis ``(3 V, K)``, K variances and a triangle list from 0. Millimetres, colours in
[0, 1]. ``expression_blendshapes_3448.bin`` is a list of named offsets: anger, disgust, fear, happiness, sadness,
surprise.

Built from the published layout; no licensed file was at hand.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.cereal import CerealArchive
from stylerig_fast.face.formats.landmark_lists import SURREY_3448, SURREY_JAW
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel, modes, points, take, triangle_list

NAME = "surrey"
MILLIMETRE = 1e-2  # decimetres
VERSIONS = (1, 2, 3, 4)
MAX_FILE = 1 << 30


def looks_like_eos(start: bytes) -> bool:
    """Whether a file begins as an eos model does: a version, then a column of x y z."""
    if len(start) < 12:
        return False
    version, rows, columns = np.frombuffer(start[:12], "<i4").tolist()
    return version in VERSIONS and rows > 0 and rows % 3 == 0 and columns == 1


def read_eos(path: str) -> dict[str, Any]:
    """The model file. Runs in the child process.

    Returns:
        ``shape``, ``color`` and perhaps ``expression``: each ``mean``, ``basis``, ``variances`` and ``triangles``;
        perhaps ``blendshapes``: name to offsets ``(3 V,)``; perhaps ``landmarks``: identifier to vertex.

    Raises:
        FaceModelError: truncated, or of another format.
    """
    archive = _open(path)
    version = archive.number("I")
    if version not in VERSIONS:
        raise FaceModelError(f"{path}: version {version}, expected {VERSIONS[0]} to {VERSIONS[-1]} of eos' models")
    tree: dict[str, Any] = {"shape": _pca(archive), "color": _pca(archive)}
    if version >= 2 and not archive.flag():  # std::optional: whether it is empty
        kind = archive.number("i")
        if kind == 0:
            tree["expression"] = _pca(archive)
        elif kind == 1:
            tree["blendshapes"] = _blendshapes(archive)
        else:
            raise FaceModelError(f"{path}: expressions of kind {kind}, expected 0 (PCA) or 1 (blendshapes)")
    if version >= 3 and not archive.flag():
        # A definition takes at least its name's length and its number.
        tree["landmarks"] = {archive.text(): archive.number("i") for _ in range(archive.size(12))}
    archive.array("<f8", 2)
    if version >= 4:
        archive.array("<i4", 3)
    _check_end(archive, path)
    return tree


def read_blendshapes(path: str) -> dict[str, np.ndarray]:
    """The blendshape file: name to offsets ``(3 V,)``. Runs in the child process."""
    archive = _open(path)
    result = _blendshapes(archive)
    _check_end(archive, path)
    return result


def surrey_parts(
    tree: Any, where: str, counts: Counts, blendshapes: dict[str, np.ndarray] | None = None
) -> RawFaceModel:
    """The model.

    Args:
        tree: what `read_eos` gave.
        where: the file, for messages.
        counts: components to keep; all blendshapes are kept.
        blendshapes: what `read_blendshapes` gave; in place of expressions in the model's own file.

    Raises:
        FaceModelError: parts do not fit each other.
    """
    shape, colour = tree["shape"], tree["color"]
    mean = points(take(shape, "mean", where), "the mean", where)
    count = len(mean)
    blendshapes = blendshapes or tree.get("blendshapes")
    expression = np.zeros((0, count, 3))
    names: tuple[str, ...] = ()
    if blendshapes:
        expression, names = _units(blendshapes, count, where)
    elif "expression" in tree:
        mean = mean + _points_like(tree["expression"], count, "the expressions' mean", where)
        expression = _scaled(tree["expression"], count, counts.expression, where)
    coloured = colour["mean"].size > 0
    return RawFaceModel(
        name=NAME,
        unit=MILLIMETRE,
        mean=mean,
        identity=_scaled(shape, count, counts.identity, where),
        expression=expression,
        expression_names=names,
        albedo_mean=_points_like(colour, count, "the mean colour", where) if coloured else None,
        albedo=_scaled(colour, count, counts.albedo, where) if coloured else None,
        triangles=triangle_list(shape["triangles"], count, "the triangle list", where),
        landmarks=_landmarks(tree.get("landmarks", {}), count),
        jaw=SURREY_JAW if count == 3448 else (),
    )


def _open(path: str) -> CerealArchive:
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE:
            raise FaceModelError(f"{path}: larger than {MAX_FILE} bytes; that is no face model")
        return CerealArchive(file.read(), path)


def _check_end(archive: CerealArchive, path: str) -> None:
    if archive.left:
        raise FaceModelError(f"{path}: {archive.left} bytes follow where the model ends; it is of another format")


def _pca(archive: CerealArchive) -> dict[str, np.ndarray]:
    mean, basis, variances = archive.matrix(), archive.matrix(), archive.matrix()
    return {"mean": mean, "basis": basis, "variances": variances, "triangles": archive.array("<i4", 3)}


def _blendshapes(archive: CerealArchive) -> dict[str, np.ndarray]:
    # A blendshape takes at least its name's length and its matrix' two sizes.
    return {archive.text(): archive.matrix().reshape(-1) for _ in range(archive.size(16))}


def _points_like(model: Any, count: int, name: str, where: str) -> np.ndarray:
    found = points(take(model, "mean", where), name, where)
    if len(found) != count:
        raise FaceModelError(f"{where}: {name} has {len(found)} vertices, the shape {count}; the file is damaged")
    return found


def _scaled(model: Any, vertices: int, count: int, where: str) -> np.ndarray:
    variances = take(model, "variances", where)
    if float(variances.min()) < 0:
        raise FaceModelError(f"{where}: a variance is negative; the file is damaged")
    basis = take(model, "basis", where)
    return modes(basis, np.sqrt(variances.astype(np.float64)), vertices, count, "a basis", where)


def _units(blendshapes: dict[str, np.ndarray], count: int, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    for name in blendshapes:
        if take(blendshapes, name, where).size != 3 * count:
            raise FaceModelError(
                f"{where}: {count} vertices, but the blendshape {name!r} has {blendshapes[name].size / 3:g}; it "
                "belongs to another resolution of the model"
            )
    stacked = np.stack([value.astype(np.float64).reshape(count, 3) for value in blendshapes.values()])
    return stacked, tuple(blendshapes)


def _landmarks(definitions: dict[str, int], count: int) -> dict[int, int]:
    """Landmarks by number from 0; the model's own definitions where their names are iBUG's numbers."""
    named = {
        int(name) - 1: vertex
        for name, vertex in definitions.items()
        if name.isascii() and name.isdecimal() and 1 <= int(name) <= 68 and 0 <= vertex < count
    }
    return named or (SURREY_3448 if count == 3448 else {})
