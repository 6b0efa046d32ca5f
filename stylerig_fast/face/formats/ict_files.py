"""The text files of ICT's published folder. Runs in the child process; `ict` makes a face model of what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylerig_fast.errors import FaceModelError

NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
MAX_TEXT = 1 << 26  # bytes of a file; the published OBJ files have 4 MB
MAX_CORNERS = 32  # of a polygon


def read_folder(path: str) -> dict[str, Any]:
    """The published folder, in the packed file's form.

    Raises:
        FaceModelError: a file is missing, damaged, or does not fit the others.
    """
    folder = Path(path)
    for name in (NEUTRAL, INDICES):
        if not (folder / name).is_file():
            raise FaceModelError(f"{folder / name}: no such file; expected ICT's FaceXModel folder")
    mean, polygons = _read_obj(folder / NEUTRAL)
    try:
        indices = json.loads((folder / INDICES).read_text())
        names = [str(name) for name in indices["expressions"]]
        landmarks = np.array([int(vertex) for vertex in indices["idx_to_landmark_verts"]], np.int64)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise FaceModelError(f"{folder / INDICES}: damaged, or not ICT's vertex indices ({error!r})") from error
    if any(Path(name).name != name for name in names):
        raise FaceModelError(f"{folder / INDICES}: names expressions that are no file names")
    identities = sorted(folder.glob("identity[0-9]*.obj"))
    if not identities:
        raise FaceModelError(f"{folder}: no identityNNN.obj in it; expected ICT's FaceXModel folder")
    faces = np.full((len(polygons), max(map(len, polygons), default=3)), -1)
    for row, polygon in zip(faces, polygons, strict=True):
        row[: len(polygon)] = polygon
    return {
        "mean": mean,
        "identity": _offsets(identities, mean),
        "expression": _offsets([folder / f"{name}.obj" for name in names], mean),
        "expression_names": names,
        "faces": faces,
        "landmarks68": landmarks,
    }


def _offsets(paths: Sequence[Path], mean: np.ndarray) -> np.ndarray:
    """Each file's vertices less the neutral ones ``(len(paths), V, 3)`` float32."""
    out = np.empty((len(paths), *mean.shape), np.float32)
    for k, path in enumerate(paths):
        if not path.is_file():
            raise FaceModelError(f"{path}: no such file, though {INDICES} names it")
        vertices, _ = _read_obj(path, with_faces=False)
        if vertices.shape != mean.shape:
            raise FaceModelError(f"{path}: {len(vertices)} vertices, but {NEUTRAL} has {len(mean)}")
        out[k] = vertices - mean
    return out


def _read_obj(path: Path, with_faces: bool = True) -> tuple[np.ndarray, list[list[int]]]:
    """Vertices ``(V, 3)`` and polygons (vertex numbers from 0) of a Wavefront OBJ file."""
    vertices, faces = [], []
    try:
        if path.stat().st_size > MAX_TEXT:
            raise ValueError(f"it has {path.stat().st_size} bytes, expected at most {MAX_TEXT}")
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("v "):
                    vertices.append([float(x) for x in line.split()[1:4]])
                elif with_faces and line.startswith("f "):
                    faces.append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
        points = np.array(vertices, np.float64).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise FaceModelError(f"{path}: not a readable Wavefront OBJ file ({error})") from error
    if with_faces and any(
        not 3 <= len(face) <= MAX_CORNERS or min(face) < 0 or max(face) >= len(points) for face in faces
    ):
        raise FaceModelError(f"{path}: a face points outside its {len(points)} vertices; the file looks truncated")
    return points, faces
