"""ICT Face Model Light (https://github.com/ICT-VGL/ICT-FaceKit, MIT): the published folder, or a packed file.

The folder, ``FaceXModel/``, holds Wavefront OBJ files that share their vertex order: ``generic_neutral_mesh.obj``,
one ``identityNNN.obj`` per identity mode (the neutral face moved by one standard deviation), one
``<expression>.obj`` per expression at full strength, and ``vertex_indices.json`` with the landmark vertices.
A packed file is the same in one ``.npz``: ``mean``, ``identity``, ``expression``, ``expression_names``, ``faces``
(triangles padded with -1), ``landmarks68``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylerig_fast.errors import FaceModelError
from stylerig_fast.face.model import FaceModel
from stylerig_fast.face.smooth_albedo import smooth_albedo

NAME = "ict-face-model-light"
# The face comes first in the vertex order; neck, mouth, eyes, lashes and teeth follow.
FACE_VERTICES = 9409
NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
_CM_TO_DM = 0.1
_ALBEDO = 80


def load_ict(path: str | Path, crop: bool = True) -> FaceModel:
    """Loads the ICT face model, in decimetres.

    Expression names take this package's form: ``mouthSmile_L`` becomes ``mouthSmileLeft``. They stay in the file's
    order; the model splits ``browInnerUp`` and ``cheekPuff``, which are single units elsewhere, into left and right.
    The model has no albedo: it gets grey skin and a smooth basis.

    Args:
        path: the published folder ``FaceXModel``, or a packed ``.npz``.
        crop: keep the face's 9,409 vertices only, without mouth cavity, eyeballs and teeth.

    Raises:
        FaceModelError: a file is missing, damaged, or does not fit the others.
    """
    path = Path(path)
    if path.is_dir():
        mean, identity, expression, names, faces, landmarks = _read_folder(path)
    elif path.is_file():
        mean, identity, expression, names, faces, landmarks = _read_packed(path)
    else:
        raise FaceModelError(f"{path}: no such file or folder; expected ICT's FaceXModel folder or a packed .npz")
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


def nearest_mirror(vertices: Tensor, chunk: int = 2048) -> Tensor:
    """For each vertex ``(V, 3)`` the one nearest to its mirror image in x: ``(V,)`` int64."""
    # In double, because cdist goes through squared norms.
    flipped = vertices.double() * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    return torch.cat([torch.cdist(part, vertices.double()).argmin(1) for part in flipped.split(chunk)])


_Parts = tuple[np.ndarray, np.ndarray, np.ndarray, list[str], list[list[int]], list[int]]


def _read_packed(path: Path) -> _Parts:
    try:
        with np.load(path, allow_pickle=False) as packed:
            fields = {name: packed[name] for name in packed.files}
        mean, identity, expression = fields["mean"], fields["identity"], fields["expression"]
        names = [str(name) for name in fields["expression_names"]]
        faces, landmarks = fields["faces"], fields["landmarks68"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FaceModelError(f"{path}: not a packed ICT model, or damaged ({error!r})") from error
    for field, value in (("identity", identity), ("expression", expression)):
        if value.ndim != 3 or value.shape[1:] != mean.shape:
            raise FaceModelError(f"{path}: {field} has shape {value.shape}, expected (*, {mean.shape[0]}, 3)")
    polygons = [[int(v) for v in face if v >= 0] for face in faces]
    return mean, identity.astype(np.float32), expression.astype(np.float32), names, polygons, landmarks.tolist()


def _read_folder(folder: Path) -> _Parts:
    for name in (NEUTRAL, INDICES):
        if not (folder / name).is_file():
            raise FaceModelError(f"{folder / name}: no such file; expected ICT's FaceXModel folder")
    mean, faces = _read_obj(folder / NEUTRAL)
    try:
        indices = json.loads((folder / INDICES).read_text())
        names, landmarks = list(indices["expressions"]), list(indices["idx_to_landmark_verts"])
    except (ValueError, KeyError, TypeError) as error:
        raise FaceModelError(f"{folder / INDICES}: damaged, or not ICT's vertex indices ({error!r})") from error
    identities = sorted(folder.glob("identity[0-9]*.obj"))
    if not identities:
        raise FaceModelError(f"{folder}: no identityNNN.obj in it; expected ICT's FaceXModel folder")
    identity = _offsets(identities, mean)
    return mean, identity, _offsets([folder / f"{name}.obj" for name in names], mean), names, faces, landmarks


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
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("v "):
                    vertices.append([float(x) for x in line.split()[1:4]])
                elif with_faces and line.startswith("f "):
                    faces.append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
        points = np.array(vertices, np.float64).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise FaceModelError(f"{path}: not a readable Wavefront OBJ file ({error})") from error
    if with_faces and any(len(face) < 3 or min(face) < 0 or max(face) >= len(points) for face in faces):
        raise FaceModelError(f"{path}: a face points outside its {len(points)} vertices; the file looks truncated")
    return points, faces


def _triangles(faces: Sequence[Sequence[int]]) -> Tensor:
    """Polygons as fans of triangles ``(T, 3)`` int32."""
    fans = [[face[0], face[k], face[k + 1]] for face in faces for k in range(1, len(face) - 1)]
    return torch.tensor(fans, dtype=torch.int32).reshape(-1, 3)


def _arkit_name(name: str) -> str:
    if name.endswith("_L"):
        return name[:-2] + "Left"
    return name[:-2] + "Right" if name.endswith("_R") else name
