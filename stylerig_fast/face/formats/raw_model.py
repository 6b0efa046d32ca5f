"""What a file of a morphable model holds, in its own unit and place, before it becomes a `FaceModel`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError
from stylerig_fast.untrusted import Limits, run_in_child

MAX_VERTICES = (
    200_000  # the largest published face model, Surrey's, has 29,587 in its finest resolution, Basel's 53,490
)
MAX_TRIANGLES = 2 * MAX_VERTICES


@dataclass(frozen=True)
class Counts:
    """How many components to keep at most; a file with fewer keeps what it has."""

    identity: int = 80
    expression: int = 64
    albedo: int = 80

    def __post_init__(self) -> None:
        for name in ("identity", "expression", "albedo"):
            value = getattr(self, name)
            if not 1 <= value <= 400:
                raise ValueError(f"{name} is {value}, expected 1 to 400 components")


@dataclass(frozen=True)
class RawFaceModel:
    """A linear face model as a file has it: x to the subject's left, y up, z toward the viewer.

    Attributes:
        name: what it is.
        unit: decimetres per unit of length.
        mean: ``(V, 3)``.
        identity: ``(A, V, 3)`` offsets per standard deviation.
        expression: ``(E, V, 3)`` offsets per unit or per standard deviation.
        expression_names: names of the first expressions; the others become ``residual_NN``.
        triangles: ``(T, 3)`` vertex numbers from 0, all turning the same way.
        albedo_mean: ``(V, 3)`` RGB in [0, 1]; None where the file has no colours.
        albedo: ``(C, V, 3)`` RGB offsets per standard deviation.
        landmarks: the vertex of each iBUG landmark (numbers from 0) that is known; all 68, some, or none.
        jaw: vertices of the jaw's contour, where a list of them is known.
    """

    name: str
    unit: float
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    expression_names: tuple[str, ...] = ()
    albedo_mean: np.ndarray | None = None
    albedo: np.ndarray | None = None
    landmarks: Mapping[int, int] = field(default_factory=dict)
    jaw: tuple[int, ...] = ()


def read_in_child(reader: str, path: str | Path, limits: Limits | None, **arguments: Any) -> Any:
    """What a reader of this package gives, called in a child process.

    Args:
        reader: ``module:function``, a module beside this one.
        path: what it reads.
        limits: what that may cost.
        arguments: further ones, numbers and text.

    Raises:
        FaceModelError: what the reader complains about, or that it ran out of time or memory.
    """
    return run_in_child(f"stylerig_fast.face.formats.{reader}", path, limits, arguments, FaceModelError)


def take(tree: Any, name: str, where: str, whole: bool = False) -> np.ndarray:
    """The numeric array of that name.

    Args:
        tree: what was read from the file.
        name: of the field.
        where: the file, for messages.
        whole: its numbers must be whole; MATLAB stores vertex numbers as it likes, mostly as double.

    Raises:
        FaceModelError: it is missing, no array of numbers, not finite, or far too large.
    """
    value = tree.get(name) if isinstance(tree, dict) else None
    if value is None:
        found = ", ".join(sorted(map(str, tree))[:20]) if isinstance(tree, dict) else type(tree).__name__
        raise FaceModelError(f"{where}: has no field {name!r} (it has {found}); it is another kind of file, or damaged")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or not value.size:
        kind = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise FaceModelError(f"{where}: {name} is {kind}, expected an array of numbers")
    # Small enough to be finite in single precision, in any unit, and when squared; a comparison with NaN is false.
    if value.dtype.kind == "f" and not bool((np.abs(value) < 1e15).all()):
        raise FaceModelError(f"{where}: {name} has values that are not finite, or far too large; the file is damaged")
    if whole and value.dtype.kind == "f" and not bool((value == np.floor(value)).all() and abs(value).max() < 1 << 31):
        raise FaceModelError(f"{where}: {name} has fractions, expected whole numbers; the file is damaged")
    return value


def points(value: np.ndarray, name: str, where: str) -> np.ndarray:
    """``(V, 3)`` of numbers stored as x y z x y z ..., whatever the array's shape.

    Raises:
        FaceModelError: no whole number of points, or too many.
    """
    if value.size % 3 or not 0 < value.size <= 3 * MAX_VERTICES:
        raise FaceModelError(f"{where}: {name} has shape {value.shape}, expected x y z of 1 to {MAX_VERTICES} vertices")
    return value.reshape(-1, 3).astype(np.float64)


def modes(basis: np.ndarray, scale: np.ndarray, vertices: int, count: int, name: str, where: str) -> np.ndarray:
    """The first ``count`` columns of a basis ``(3 V, K)``, scaled, as ``(count, V, 3)`` float64.

    Args:
        basis: one component per column, x y z x y z ... down.
        scale: K factors.
        vertices: V.
        count: how many to keep at most.
        name: of the basis, for messages.
        where: the file, for messages.

    Raises:
        FaceModelError: sizes that do not fit each other.
    """
    scale = np.asarray(scale, np.float64).reshape(-1)
    if (
        basis.ndim != 2
        or basis.shape[0] != 3 * vertices
        or not basis.shape[1]
        or len(scale) < min(count, basis.shape[1])
    ):
        raise FaceModelError(
            f"{where}: {name} has shape {basis.shape} and {len(scale)} scales, expected ({3 * vertices}, K) and K"
        )
    kept = min(count, basis.shape[1])
    return (basis[:, :kept].astype(np.float64) * scale[:kept]).T.reshape(kept, vertices, 3)


def triangle_list(value: np.ndarray, vertices: int, name: str, where: str, first: int = 0) -> np.ndarray:
    """``(T, 3)`` int64 vertex numbers from 0.

    Args:
        value: ``(T, 3)``, or ``(3, T)``.
        vertices: how many there are.
        name: of the field, for messages.
        where: the file, for messages.
        first: the number of the first vertex: 1 in MATLAB's files.

    Raises:
        FaceModelError: another shape, or numbers outside the vertices.
    """
    if value.ndim == 2 and value.shape[1] != 3 and value.shape[0] == 3:
        value = value.T
    if value.ndim != 2 or value.shape[1] != 3 or not 0 < len(value) <= MAX_TRIANGLES:
        raise FaceModelError(f"{where}: {name} has shape {value.shape}, expected (T, 3) with at most {MAX_TRIANGLES}")
    lowest, highest = int(value.min()) - first, int(value.max()) - first
    if lowest < 0 or highest >= vertices:
        raise FaceModelError(
            f"{where}: {name} has the vertices {lowest + first} to {highest + first}, "
            f"expected {first} to {vertices - 1 + first}"
        )
    return value.astype(np.int64) - first


def named_landmarks(vertex_numbers: np.ndarray, vertices: int, name: str, where: str, first: int = 0) -> dict[int, int]:
    """All 68 landmarks from a list of their vertices; ``first`` as in `triangle_list`."""
    flat = vertex_numbers.reshape(-1).astype(np.int64) - first
    if len(flat) != 68 or int(flat.min()) < 0 or int(flat.max()) >= vertices:
        raise FaceModelError(f"{where}: {name} has shape {vertex_numbers.shape}, expected 68 vertex numbers")
    return dict(enumerate(flat.tolist()))
