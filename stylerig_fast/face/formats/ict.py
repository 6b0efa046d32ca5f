"""ICT Face Model Light (https://github.com/ICT-VGL/ICT-FaceKit, MIT): the published folder, or a packed file.

The folder, ``FaceXModel/``, holds Wavefront OBJ files that share their vertex order: ``generic_neutral_mesh.obj``,
one ``identityNNN.obj`` per identity mode (the neutral face moved by one standard deviation), one
``<expression>.obj`` per expression at full strength, and ``vertex_indices.json`` with the landmark vertices.
A packed file is the same in one ``.npz``: ``mean``, ``identity``, ``expression``, ``expression_names``, ``faces``
(triangles padded with -1), ``landmarks68``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.formats.raw_model import MAX_VERTICES, read_in_child, take
from stylerig_fast.face.formats.to_face_model import nearest_mirror
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.smooth_albedo import smooth_albedo
from stylerig_fast.untrusted import Limits

NAME = "ict-face-model-light"
# The face comes first in the vertex order; neck, mouth, eyes, lashes and teeth follow.
FACE_VERTICES = 9409
FIELDS = ("mean", "identity", "expression", "expression_names", "faces", "landmarks68")
_CM_TO_DM = 0.1
_ALBEDO = 80


def load_ict(path: str | Path, crop: bool = True, limits: Limits | None = None) -> FaceModel:
    """Loads the ICT face model, in decimetres.

    Expression names take this package's form: ``mouthSmile_L`` becomes ``mouthSmileLeft``. They stay in the file's
    order; the model splits ``browInnerUp`` and ``cheekPuff``, which are single units elsewhere, into left and right.
    The model has no albedo: it gets grey skin and a smooth basis.

    Args:
        path: the published folder ``FaceXModel``, or a packed ``.npz``.
        crop: keep the face's 9,409 vertices only, without mouth cavity, eyeballs and teeth.
        limits: of the child process that reads the files.

    Raises:
        FaceModelError: a file is missing, damaged, or does not fit the others.
    """
    path = Path(path)
    if path.is_dir():
        tree = read_in_child("ict_files:read_folder", path, limits)
    elif path.is_file():
        tree = read_in_child("npz:read_packed", path, limits, names=FIELDS)
    else:
        raise FaceModelError(f"{path}: no such file or folder; expected ICT's FaceXModel folder or a packed .npz")
    mean, identity, expression, names, faces, landmarks = _checked(tree, path)
    if crop and len(mean) > FACE_VERTICES:
        faces = [face for face in faces if max(face) < FACE_VERTICES]
        mean, identity, expression = mean[:FACE_VERTICES], identity[:, :FACE_VERTICES], expression[:, :FACE_VERTICES]
    if len(landmarks) != 68 or min(landmarks) < 0 or max(landmarks) >= len(mean):
        raise FaceModelError(f"{path}: expected 68 landmark vertices below {len(mean)}, found {landmarks}")
    vertices = torch.from_numpy(mean * _CM_TO_DM).float()
    albedo_mean, albedo = smooth_albedo(vertices, _ALBEDO)
    return FaceModel(
        name=f"{NAME}{'-face' if crop else ''}",
        mean=vertices,
        identity=torch.from_numpy(identity * np.float32(_CM_TO_DM)).float(),
        expression=torch.from_numpy(expression * np.float32(_CM_TO_DM)).float(),
        albedo_mean=albedo_mean,
        albedo=albedo,
        triangles=_triangles(faces),
        landmarks=torch.tensor(landmarks, dtype=torch.int64),
        mirror=nearest_mirror(vertices),
        expression_names=tuple(_arkit_name(name) for name in names),
    )


_Parts = tuple[np.ndarray, np.ndarray, np.ndarray, list[str], list[list[int]], list[int]]


def _checked(tree: dict[str, Any], path: Path) -> _Parts:
    where = str(path)
    mean, identity, expression = (take(tree, name, where) for name in ("mean", "identity", "expression"))
    if mean.ndim != 2 or mean.shape[1] != 3 or len(mean) > MAX_VERTICES:
        raise FaceModelError(f"{path}: mean has shape {mean.shape}, expected (V, 3)")
    for field, value in (("identity", identity), ("expression", expression)):
        if value.ndim != 3 or value.shape[1:] != mean.shape:
            raise FaceModelError(f"{path}: {field} has shape {value.shape}, expected (*, {mean.shape[0]}, 3)")
    names = [str(name) for name in np.asarray(tree.get("expression_names", ())).reshape(-1)]
    faces = take(tree, "faces", where, whole=True)
    if faces.ndim != 2 or int(faces.max()) >= len(mean):
        raise FaceModelError(f"{path}: a face points outside its {len(mean)} vertices")
    polygons = [[int(v) for v in face if v >= 0] for face in faces]
    landmarks = take(tree, "landmarks68", where, whole=True).reshape(-1).astype(np.int64).tolist()
    return mean, identity.astype(np.float32), expression.astype(np.float32), names, polygons, landmarks


def _triangles(faces: Sequence[Sequence[int]]) -> Tensor:
    """Polygons as fans of triangles ``(T, 3)`` int32."""
    fans = [[face[0], face[k], face[k + 1]] for face in faces for k in range(1, len(face) - 1)]
    return torch.tensor(fans, dtype=torch.int32).reshape(-1, 3)


def _arkit_name(name: str) -> str:
    if name.endswith("_L"):
        return name[:-2] + "Left"
    return name[:-2] + "Right" if name.endswith("_R") else name
