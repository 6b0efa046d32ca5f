"""FLAME 2017, 2020 and 2023: ``generic_model.pkl``, ``flame2023.pkl`` and the like.

Li et al., "Learning a model of facial shape and expression from 4D scans" (SIGGRAPH Asia 2017); fields as in
FLAME_PyTorch: ``v_template (V, 3)`` metres, ``shapedirs (V, 3, 400)`` (300 components of identity, then 100 of
expression, per standard deviation), ``posedirs (V, 3, 36)``, ``J_regressor (5, V)``, ``weights (V, 5)``,
``kintree_table (2, 5)``, ``f (T, 3)`` from 0. The pickle names chumpy and SciPy objects; it is read as a
description of them, and neither library is asked to build one.

The head's pose is this package's own business, so neck and eyeballs stay at rest. The jaw is a joint in FLAME and
expressions here: at 1, ``jawOpen`` turns it by 20 degrees about x, ``jawLeft`` and ``jawRight`` by 5 degrees
about y, by linear blend skinning with FLAME's pose correctives on the mean head; between 0 and 1 the offset is scaled.
These angles move the chin about as far as the open face model's units do.

FLAME's file has no colours.

Built from the published layout; no licensed file was at hand.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.landmark_lists import FLAME
from stylerig_fast.face.formats.raw_model import Counts, RawFaceModel, points, take, triangle_list
from stylerig_fast.untrusted.tree import Record

NAME = "flame"
METRE = 10.0  # decimetres
IDENTITIES = 300  # components of shapedirs that are identity; the others are expression
JAW, JOINTS = 2, 5  # root, neck, jaw, eyes

# Axis and degrees of the jaw at 1.
JAW_UNITS: dict[str, tuple[int, float]] = {"jawOpen": (0, 20.0), "jawLeft": (1, 5.0), "jawRight": (1, -5.0)}
FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")


def flame_parts(tree: Any, where: str, counts: Counts) -> RawFaceModel:
    """The model.

    Args:
        tree: what `read_pickle` gave.
        where: the file, for messages.
        counts: components to keep; the three jaw units are the first expressions.

    Raises:
        FaceModelError: fields are missing or do not fit each other.
    """
    if not isinstance(tree, dict):
        raise FaceModelError(f"{where}: holds {type(tree).__name__}, expected FLAME's dictionary of arrays")
    arrays = {name: _dense(tree[name], name, where) for name in FIELDS if name in tree}
    mean = points(take(arrays, "v_template", where), "v_template", where)
    count = len(mean)
    directions = take(arrays, "shapedirs", where)
    if directions.ndim != 3 or directions.shape[:2] != (count, 3) or directions.shape[2] <= IDENTITIES:
        raise FaceModelError(
            f"{where}: shapedirs has shape {directions.shape}, expected ({count}, 3, 400): 300 components of identity, "
            "then those of expression"
        )
    jaw = jaw_units(mean, arrays, where)
    others = max(0, counts.expression - len(jaw))
    expression = _components(directions[:, :, IDENTITIES : IDENTITIES + others])
    return RawFaceModel(
        name=NAME,
        unit=METRE,
        mean=mean,
        identity=_components(directions[:, :, : min(counts.identity, IDENTITIES)]),
        expression=np.concatenate([jaw, expression]),
        expression_names=tuple(JAW_UNITS),
        triangles=triangle_list(take(arrays, "f", where, whole=True), count, "f", where),
        landmarks=FLAME if count == 5023 else {},
    )


def jaw_units(mean: np.ndarray, arrays: dict[str, np.ndarray], where: str) -> np.ndarray:
    """Offsets ``(3, V, 3)`` of the mean head with its jaw turned as `JAW_UNITS` says.

    Args:
        mean: ``(V, 3)``, the template.
        arrays: the file's fields.
        where: the file, for messages.

    Raises:
        FaceModelError: joints or weights do not fit.
    """
    count = len(mean)
    shapes = {"posedirs": (count, 3, 9 * (JOINTS - 1)), "weights": (count, JOINTS), "J_regressor": (JOINTS, count)}
    for name, shape in shapes.items():
        if take(arrays, name, where).shape != shape:
            raise FaceModelError(f"{where}: {name} has shape {arrays[name].shape}, expected {shape}")
    parents = take(arrays, "kintree_table", where, whole=True)
    if parents.shape != (2, JOINTS) or int(parents[0, JAW]) != 1:
        raise FaceModelError(f"{where}: kintree_table {parents.tolist()} does not hang the jaw on the neck, as FLAME's")
    joint = arrays["J_regressor"][JAW].astype(np.float64) @ mean
    # Only the jaw turns, and nothing hangs on it: its vertices turn by its weight, all others stay.
    weight = arrays["weights"][:, JAW, None].astype(np.float64)
    correctives = arrays["posedirs"][:, :, 9 * (JAW - 1) : 9 * JAW].astype(np.float64)
    units = []
    for axis, degrees in JAW_UNITS.values():
        change = _rotation(axis, degrees) - np.eye(3)
        corrected = correctives @ change.reshape(9)
        units.append(corrected + weight * ((mean + corrected - joint) @ change.T))
    return np.stack(units)


def _components(directions: np.ndarray) -> np.ndarray:
    """``(V, 3, K)`` to ``(K, V, 3)`` float64."""
    return np.ascontiguousarray(np.moveaxis(directions, 2, 0), np.float64)


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """Rotation matrix about one of the axes."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[[a, b], [a, b]] = cos
    matrix[a, b], matrix[b, a] = -sin, sin
    return matrix


def _dense(value: Any, name: str, where: str, depth: int = 0) -> np.ndarray:
    """An array, whether the file has it as NumPy's, chumpy's or a sparse matrix of SciPy's."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Record) and depth < 8:
        library, kind = value.kind.split(".")[0], value.kind.split(".")[-1]
        fields = value.fields
        if library == "scipy" and kind.startswith(("csc_", "csr_")):
            return _sparse(fields, kind.startswith("csc_"), name, where)
        if library == "chumpy" and "x" in fields:
            return _dense(fields["x"], name, where, depth + 1)
        if library == "chumpy" and {"a", "idxs", "preferred_shape"} <= set(fields):
            return _selected(fields, name, where, depth)
    kind = value.kind if isinstance(value, Record) else type(value).__name__
    raise FaceModelError(f"{where}: {name} is {kind}, expected an array, a chumpy array or a sparse matrix")


def _selected(fields: dict[str, Any], name: str, where: str, depth: int) -> np.ndarray:
    """``chumpy.reordering.Select``: some elements of another array in another shape."""
    whole, numbers = _dense(fields["a"], name, where, depth + 1), _dense(fields["idxs"], name, where, depth + 1)
    shape = fields["preferred_shape"]
    shape = shape.tolist() if isinstance(shape, np.ndarray) else shape
    try:
        return whole.reshape(-1)[numbers.reshape(-1)].reshape(shape)
    except (IndexError, ValueError, TypeError) as error:
        raise FaceModelError(f"{where}: {name} selects what is not there ({error}); the file is damaged") from error


def _sparse(fields: dict[str, Any], columns: bool, name: str, where: str) -> np.ndarray:
    """A compressed sparse matrix, dense; FLAME's only one has 5 rows."""
    try:
        data, minor, starts = (np.asarray(fields[key]) for key in ("data", "indices", "indptr"))
        rows, width = (int(n) for n in fields["_shape" if "_shape" in fields else "shape"])
        if not 0 < rows <= JOINTS or not 0 < width <= 1 << 20:
            raise ValueError(f"its shape is {rows} x {width}")
        starts = starts.astype(np.int64)
        lengths = starts[1:] - starts[:-1]
        if len(lengths) != (width if columns else rows) or (lengths < 0).any() or lengths.sum() != len(data):
            raise ValueError("its index does not fit its values")
        major = np.repeat(np.arange(len(lengths)), lengths)
        if len(minor) != len(data) or (len(minor) and int(minor.min()) < 0):
            raise ValueError("its index does not fit its values")
        result = np.zeros((rows, width), np.float64)
        np.add.at(result, (minor, major) if columns else (major, minor), data)
        return result
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FaceModelError(f"{where}: {name} is a damaged sparse matrix ({error})") from error
